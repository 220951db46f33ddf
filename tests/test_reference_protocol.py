from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.checkpoints import load_tensors, save_tensors
from pipeline.evaluation import ANOMALY
from pipeline.metrics import auc
from pipeline.models.gan import network_state
from pipeline.models.nets import NetShape
from pipeline.models.skip_ganomaly.nets import build_networks
from pipeline.patch_store import PatchStore
from pipeline.protocols import HONEST, IN_ORDER, SHUFFLED, Protocol
from pipeline.reference_protocol import (
    LabelledTest,
    score_by,
    scores_of_best,
    train_by_protocols,
)
from pipeline.selection import CRITERION, load_validation
from pipeline.splits import TEST, VALIDATION
from pipeline.splits import TRAIN as TRAIN_SPLIT
from pipeline.training import Metrics, State, TrainSettings, Worker, net_shape, train
from tests.conftest import MODEL, TRAIN
from tests.test_training import same

SHAPE = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=5)
SETTINGS = replace(TRAIN, losses=replace(TRAIN.losses, latent_dim=5))
CPU = torch.device("cpu")
ALL = (HONEST, IN_ORDER, SHUFFLED)


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


@pytest.mark.parametrize("protocol", [IN_ORDER, SHUFFLED])
def test_reference_scores_are_those_of_the_released_code(protocol: Protocol) -> None:
    test = made_up()
    in_order = np.concatenate([np.flatnonzero(test.normal), np.flatnonzero(~test.normal)])
    shuffled = np.random.default_rng(SETTINGS.seed).permutation(21)
    networks = network_state(build_networks(SHAPE, 1))
    found = score_by(protocol, SHAPE, networks, SETTINGS, test, CPU)
    expected = by_hand(test, in_order if protocol == IN_ORDER else shuffled)
    np.testing.assert_allclose(found[ANOMALY], expected, rtol=1e-4)


def test_scoring_leaves_the_networks_as_they_were() -> None:
    networks = network_state(build_networks(SHAPE, 1))
    score_by(IN_ORDER, SHAPE, networks, SETTINGS, made_up(), CPU)
    assert same(networks, network_state(build_networks(SHAPE, 1)))


def test_the_order_decides_the_reference_scores_and_not_the_honest_ones() -> None:
    test, turned = made_up(), made_up()
    turned = LabelledTest(turned.patches[::-1].copy(), turned.labels[::-1], turned.scan_ids[::-1])
    networks = network_state(build_networks(SHAPE, 1))
    for protocol, depends in ((HONEST, False), (SHUFFLED, True)):
        first, second = (
            score_by(protocol, SHAPE, networks, SETTINGS, one, CPU)[ANOMALY]
            for one in (test, turned)
        )
        assert np.allclose(first, second[::-1], rtol=1e-4) != depends


@pytest.fixture(scope="module")
def test_part(patches: Path) -> LabelledTest:
    return LabelledTest.read(PatchStore(patches, TEST))


def run(
    patches: Path,
    test: LabelledTest,
    settings: TrainSettings,
    resume: State | None = None,
) -> tuple[dict[Protocol, dict[str, object]], list[tuple[Metrics, State]]]:
    kept: list[tuple[Metrics, State]] = []
    best = train_by_protocols(
        settings,
        PatchStore(patches, TRAIN_SPLIT),
        load_validation(PatchStore(patches, VALIDATION), settings.seed, labelled=None),
        test,
        ALL,
        lambda metrics, state: kept.append((metrics, {**state, "best": dict(state["best"])})),
        resume,
    )
    return best, kept


def test_each_protocol_picks_its_own_best_epoch(patches: Path, test_part: LabelledTest) -> None:
    settings = replace(TRAIN, epochs=3)
    best, kept = run(patches, test_part, settings)
    store = PatchStore(patches, TRAIN_SPLIT)
    for protocol in ALL:
        values = [metrics[f"picked_by/{protocol}"] for metrics, _ in kept]
        assert best[protocol]["value"] == max(values)
        assert best[protocol]["epoch"] == 1 + values.index(max(values))
    assert [m[CRITERION] for m, _ in kept] == [m[f"picked_by/{HONEST}"] for m, _ in kept]
    found = scores_of_best(best, settings, net_shape(settings, store), test_part, CPU)
    for protocol in (IN_ORDER, SHUFFLED):
        scores = found[protocol].scores[ANOMALY]
        value = auc(scores[test_part.normal], scores[~test_part.normal])
        assert value == pytest.approx(best[protocol]["value"])


def test_the_honest_epoch_is_that_of_a_training_that_has_no_test_part(
    patches: Path, test_part: LabelledTest
) -> None:
    best, _ = run(patches, test_part, TRAIN)
    validation = load_validation(PatchStore(patches, VALIDATION), TRAIN.seed, labelled=None)
    store = PatchStore(patches, TRAIN_SPLIT)
    alone = train(TRAIN, store, validation, Worker(), lambda metrics, state: None)
    assert best[HONEST]["epoch"] == alone["best"]["epoch"]
    assert same(best[HONEST]["networks"], alone["best"]["networks"])


def test_resumed_equals_uninterrupted(
    patches: Path, test_part: LabelledTest, tmp_path: Path
) -> None:
    whole, kept = run(patches, test_part, TRAIN)
    halfway: State = {}

    def keep(metrics: Metrics, state: State) -> None:
        if not halfway:
            save_tensors(tmp_path / "halfway.pt", state)
            halfway.update(load_tensors(tmp_path / "halfway.pt"))

    validation = load_validation(PatchStore(patches, VALIDATION), TRAIN.seed, labelled=None)
    store = PatchStore(patches, TRAIN_SPLIT)
    train_by_protocols(TRAIN, store, validation, test_part, ALL, keep)
    resumed, rest = run(patches, test_part, TRAIN, halfway)
    assert len(rest) == len(kept) - 1
    assert same(resumed, whole)
