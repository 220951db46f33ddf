from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from experiments.paper.protocols import HONEST, REFERENCE, REFERENCE_SHUFFLED, Protocol
from experiments.paper.reference_protocol import LabelledTest, Picked, run_protocols, score_by
from pipeline.common.names import TEST, VALIDATION
from pipeline.common.names import TRAIN as TRAIN_SPLIT
from pipeline.evaluation.scores import ANOMALY
from pipeline.models.gan import network_state
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.nets import NetShape
from pipeline.models.tensor_files import save_tensors
from pipeline.patches.store import PatchStore
from pipeline.training.criterion import IMPLANT_AUC, load_validation
from pipeline.training.loop import Metrics, State, TrainSettings, Worker, net_shape, train
from tests.comparing import same
from tests.tiny import MODEL, TRAIN

SHAPE = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=5)
SETTINGS = replace(TRAIN, losses=replace(TRAIN.losses, latent_dim=5))
CPU = torch.device("cpu")
ALL = (HONEST, REFERENCE, REFERENCE_SHUFFLED)


def made_up() -> LabelledTest:
    generator = np.random.default_rng(0)
    labels = np.array(["gun", "normal"])[generator.integers(0, 2, 21)]
    patches = generator.integers(0, 256, (21, 16, 16, 3), dtype=np.uint8)
    patches[labels == "gun"] //= 4
    return LabelledTest(patches, labels, np.arange(21).astype(str))


def by_hand(test: LabelledTest, order: np.ndarray) -> np.ndarray:
    """Scores of the released code: training mode, its batches, means of squares, 0.9 and 0.1."""
    generator, discriminator = (network.train() for network in build_networks(SHAPE, 1).values())
    scores = np.empty(len(order))
    for start in range(0, len(order), MODEL.batch_size):
        rows = order[start : start + MODEL.batch_size]
        x = torch.from_numpy(test.patches[rows].astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
        with torch.no_grad():
            x_hat = generator(x)
            difference = discriminator(x)[1] - discriminator(x_hat)[1]
        residual = ((x - x_hat) ** 2).mean(dim=(1, 2, 3))
        scores[rows] = 0.9 * residual + 0.1 * (difference**2).mean(dim=1)
    return scores


@pytest.mark.parametrize("protocol", [REFERENCE, REFERENCE_SHUFFLED])
def test_reference_scores_are_those_of_the_released_code(protocol: Protocol) -> None:
    test = made_up()
    in_order = np.concatenate([np.flatnonzero(test.normal), np.flatnonzero(~test.normal)])
    shuffled = np.random.default_rng(SETTINGS.seed).permutation(21)
    networks = network_state(build_networks(SHAPE, 1))
    found = score_by(protocol, SHAPE, networks, SETTINGS, test, CPU)
    expected = by_hand(test, in_order if protocol == REFERENCE else shuffled)
    np.testing.assert_allclose(found[ANOMALY], expected, rtol=1e-4)


def test_scoring_leaves_the_networks_as_they_were() -> None:
    networks = network_state(build_networks(SHAPE, 1))
    score_by(REFERENCE, SHAPE, networks, SETTINGS, made_up(), CPU)
    assert same(networks, network_state(build_networks(SHAPE, 1)))


def test_the_order_decides_the_reference_scores_and_not_the_honest_ones() -> None:
    test, turned = made_up(), made_up()
    turned = LabelledTest(turned.patches[::-1].copy(), turned.labels[::-1], turned.scan_ids[::-1])
    networks = network_state(build_networks(SHAPE, 1))
    for protocol, depends in ((HONEST, False), (REFERENCE_SHUFFLED, True)):
        first, second = (
            score_by(protocol, SHAPE, networks, SETTINGS, one, CPU)[ANOMALY]
            for one in (test, turned)
        )
        assert np.allclose(first, second[::-1], rtol=1e-4) != depends


@pytest.fixture(scope="module")
def test_part(patches: Path) -> LabelledTest:
    return LabelledTest.read(PatchStore(patches, TEST))


def run(
    patches: Path, test: LabelledTest, settings: TrainSettings, checkpoint: Path
) -> dict[Protocol, Picked]:
    normals = PatchStore(patches, VALIDATION)
    return run_protocols(
        settings,
        PatchStore(patches, TRAIN_SPLIT),
        load_validation(normals, settings.seed, labelled=None),
        test,
        ALL,
        checkpoint,
    )


@pytest.mark.slow
def test_each_protocol_picks_and_scores_its_own_best_epoch(
    patches: Path, test_part: LabelledTest, tmp_path: Path
) -> None:
    settings = replace(TRAIN, epochs=2)
    found = run(patches, test_part, settings, tmp_path / "state.pt")
    shape = net_shape(settings, PatchStore(patches, TRAIN_SPLIT))
    values: dict[Protocol, list[float]] = {protocol: [] for protocol in ALL}

    def after_epoch(metrics: Metrics, state: State) -> None:
        values[HONEST].append(metrics[IMPLANT_AUC])
        for protocol in (REFERENCE, REFERENCE_SHUFFLED):
            networks = state["model"]["networks"]
            scores = score_by(protocol, shape, networks, settings, test_part, CPU)[ANOMALY]
            labels = ~test_part.normal
            values[protocol].append(float(roc_auc_score(labels, scores)))

    validation = load_validation(PatchStore(patches, VALIDATION), settings.seed, labelled=None)
    store = PatchStore(patches, TRAIN_SPLIT)
    alone = train(settings, store, validation, Worker(), after_epoch)
    for protocol, picked in found.items():
        assert picked.value == pytest.approx(max(values[protocol]))
        assert picked.epoch == 1 + values[protocol].index(max(values[protocol]))
        if protocol != HONEST:
            scores = picked.scores.scores[ANOMALY]
            assert roc_auc_score(~test_part.normal, scores) == pytest.approx(picked.value)
    # The honest figures are those of a training that never sees the test split.
    networks = alone["best"]["networks"]
    honest = score_by(HONEST, shape, networks, settings, test_part, CPU)
    np.testing.assert_array_equal(found[HONEST].scores.scores[ANOMALY], honest[ANOMALY])


@pytest.mark.slow
def test_resumed_equals_uninterrupted(
    patches: Path, test_part: LabelledTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(patches, test_part, TRAIN, tmp_path / "whole.pt")

    def save_and_stop(path: Path, state: State) -> None:
        save_tensors(path, state)
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.paper.reference_protocol.save_tensors", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(patches, test_part, TRAIN, tmp_path / "cut.pt")
    monkeypatch.undo()
    resumed = run(patches, test_part, TRAIN, tmp_path / "cut.pt")
    for protocol, picked in whole.items():
        assert (resumed[protocol].epoch, resumed[protocol].value) == (picked.epoch, picked.value)
        for name, values in picked.scores.scores.items():
            np.testing.assert_array_equal(resumed[protocol].scores.scores[name], values)
