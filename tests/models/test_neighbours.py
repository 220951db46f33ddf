from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from experiments.paper.protocols import Protocol
from experiments.paper.reference_protocol import LabelledTest, run_protocols
from pipeline.common.names import TEST, VALIDATION
from pipeline.common.names import TRAIN as TRAIN_SPLIT
from pipeline.models.methods.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.neighbours import NEIGHBOURS, NeighbourDistance
from pipeline.models.nets import NetShape
from pipeline.models.pixels import to_tensor
from pipeline.models.trained_model import TrainedModel, calibrated_model
from pipeline.patches.store import PatchStore
from pipeline.settings.model import LatentScore, ModelSettings
from pipeline.training.criterion import IMPLANT_AUC, load_validation, training_normals
from pipeline.training.loop import CPU, State, TrainSettings, Worker, net_shape, train
from tests.tiny import EXTRACT, LOSSES, MODEL

NEIGHBOURLY = replace(MODEL, latent_score="neighbours", score_lambda=0.0)
SETTINGS = TrainSettings(NEIGHBOURLY, LOSSES, epochs=1, seed=3)


def by_scikit_learn(features: np.ndarray, normals: np.ndarray) -> np.ndarray:
    scaler = StandardScaler().fit(normals)
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(scaler.transform(normals))
    return nearest.kneighbors(scaler.transform(features))[0].mean(axis=1)


@pytest.mark.parametrize("normals", [NEIGHBOURS, 60])
def test_distances_are_those_of_scikit_learn(normals: int) -> None:
    generator = np.random.default_rng(0)
    seen = generator.normal(3, [1, 10, 0.1, 5], (normals, 4)).astype(np.float32)
    seen[:, 3] = 7  # no deviation to scale by
    others = generator.normal(3, 4, (20, 4)).astype(np.float32)
    found = NeighbourDistance(torch.from_numpy(seen))(torch.from_numpy(others))
    np.testing.assert_allclose(found, by_scikit_learn(others, seen), rtol=1e-4)


def test_a_distance_does_not_depend_on_its_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    seen, others = (torch.randn(count, 64, generator=generator) for count in (200, 30))
    distance = NeighbourDistance(seen)
    alone = torch.cat([distance(row[None]) for row in others])
    assert torch.equal(distance(others), alone)
    assert alone.dtype == others.dtype


def test_fewer_normals_than_neighbours_are_all_counted() -> None:
    seen = torch.tensor([[0.0], [2.0]])  # mean 1, deviation 1
    assert NeighbourDistance(seen)(torch.tensor([[5.0]])).tolist() == [4.0]


def test_features_far_from_0_are_told_apart_as_well() -> None:
    generator = torch.Generator().manual_seed(0)
    seen, others = (torch.randn(count, 3, generator=generator).double() for count in (40, 10))
    far = torch.tensor([1e7, 0.0, -1e7])
    found = NeighbourDistance(seen + far)(others + far)
    torch.testing.assert_close(found, NeighbourDistance(seen)(others), rtol=1e-6, atol=0)


@pytest.fixture(scope="module")
def trained(patches: Path) -> tuple[State, TrainedModel]:
    store, normals = PatchStore(patches, TRAIN_SPLIT), PatchStore(patches, VALIDATION)
    validation = load_validation(normals, 0, labelled=None)
    state = train(SETTINGS, store, validation, Worker(), lambda _metrics, _state: None)
    shape = net_shape(SETTINGS, store)
    return state, calibrated(shape, state, NEIGHBOURLY, store, normals)


def calibrated(
    shape: NetShape,
    state: State,
    settings: ModelSettings,
    training: PatchStore,
    normals: PatchStore,
) -> TrainedModel:
    fit_to, rule = training_normals(training), EXTRACT.window_rule
    return calibrated_model(
        shape, state["best"], settings, fit_to, normals.blocks(), normals.scan_ids, rule, 0.05, {}
    )


@pytest.mark.parametrize("latent_score", ["neighbours", "early_neighbours"])
def test_a_patch_s_score_is_its_distance_from_training_normals(
    patches: Path, trained: tuple[State, TrainedModel], tmp_path: Path, latent_score: LatentScore
) -> None:
    state, model = trained
    settings = replace(NEIGHBOURLY, latent_score=latent_score)
    training, validation = (PatchStore(patches, split) for split in (TRAIN_SPLIT, VALIDATION))
    model = calibrated(model.shape, state, settings, training, validation)
    model.save(tmp_path / "model.pt")
    detector = TrainedModel.load(tmp_path / "model.pt").detector()
    store, test = PatchStore(patches, TRAIN_SPLIT), PatchStore(patches, TEST)
    seen, x = store.read(0, len(store)), test.read(0, len(test))
    with torch.no_grad():
        neighbour_features = cast(SkipGanomalyScorer, detector.scorer).neighbour_features
        of_test, of_seen = (neighbour_features(to_tensor(each, CPU)) for each in (x, seen))
    expected = by_scikit_learn(of_test.numpy(), of_seen.numpy())
    np.testing.assert_allclose(detector.score([x]).anomaly, expected, rtol=1e-3)


def test_the_best_epoch_is_chosen_by_that_score(
    patches: Path, trained: tuple[State, TrainedModel]
) -> None:
    state, model = trained
    validation = load_validation(PatchStore(patches, VALIDATION), 0, labelled=None)
    assert validation(model.detector())[IMPLANT_AUC] == state["history"][0][IMPLANT_AUC]


@pytest.mark.slow
def test_the_honest_protocol_scores_so_and_the_reference_as_its_code_does(
    patches: Path, trained: tuple[State, TrainedModel], tmp_path: Path
) -> None:
    store, test = PatchStore(patches, TRAIN_SPLIT), LabelledTest.read(PatchStore(patches, TEST))
    validation = load_validation(PatchStore(patches, VALIDATION), 0, labelled=None)
    protocols: tuple[Protocol, ...] = ("honest", "reference_2019")
    found, plain = (
        run_protocols(settings, store, validation, test, protocols, tmp_path / f"{number}.pt")
        for number, settings in enumerate((SETTINGS, replace(SETTINGS, model=MODEL)))
    )
    honest = found["honest"].scores.scores["latent"]
    _, model = trained
    np.testing.assert_array_equal(honest, model.detector().score([test.patches]).terms["latent"])
    reference, as_printed = (
        each["reference_2019"].scores.scores["latent"] for each in (found, plain)
    )
    np.testing.assert_array_equal(reference, as_printed)
