"""CIFAR-10 at the authors' settings: the step against plain autograd, orders, and resuming."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from experiments.array_store import ArrayStore
from experiments.paper import author_runs, authors
from experiments.paper.authors import (
    EVAL,
    IN_ORDER,
    SHUFFLED,
    Case,
    add_row,
    measure,
    measure_mixed,
    mixed_order,
    orders,
    parts_of,
    read_lines,
    run_case,
    score,
    train_epoch,
    train_step,
    unfinished,
)
from experiments.paper.cells import Size
from experiments.paper.reference_protocol import LabelledTest
from experiments.paper.reference_scoring import reference_scores
from experiments.paper.table1 import Cifar
from pipeline.common.names import NORMAL, TRAIN
from pipeline.models.gan import build_gan
from pipeline.models.methods.skip_ganomaly.nets import Generator
from pipeline.models.tensor_files import load_tensors
from pipeline.patches.batches import ShuffledReader
from tests.slow_auc import slow_auc

CASE = Case("plane", 1, ngf=4, batch_size=8)


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def normals(tmp_path: Path) -> ArrayStore:
    return ArrayStore(tmp_path, TRAIN, images(40, 0))


@pytest.fixture
def test() -> LabelledTest:
    """Images of any contrast, that of the abnormal ones a little lower."""
    rng = np.random.default_rng(2)
    labels = np.array([NORMAL] * 20 + ["plane"] * 12)[rng.permutation(32)]
    contrast = rng.uniform(0.3, 1, 32) * np.where(labels == NORMAL, 1, 0.9)
    noise = images(32, 1).astype(np.float64) - 127
    patches = (127 + contrast[:, None, None, None] * noise).astype(np.uint8)
    return LabelledTest(patches, labels, np.arange(32).astype(str))


def test_a_step_takes_the_gradients_of_the_released_code(normals: ArrayStore) -> None:
    ours = CASE.networks(normals)
    theirs = copy.deepcopy(ours)
    x = torch.from_numpy(images(8, 3).astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
    losses = train_step(build_gan(ours, CASE.settings), x.contiguous())
    optimisers = {
        name: torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for name, network in theirs.items()
    }
    x_hat = theirs["generator"](x)
    real, real_features = theirs["discriminator"](x)
    fake, fake_features = theirs["discriminator"](x_hat)
    ones, zeros = torch.ones(8), torch.zeros(8)
    latent = ((fake_features - real_features) ** 2).mean()
    loss_g = bce(fake, ones) + 50 * (x - x_hat).abs().mean() + latent
    loss_d = bce(real, ones) + bce(fake, zeros) + latent
    for name, loss in (("generator", loss_g), ("discriminator", loss_d)):
        parameters = list(theirs[name].parameters())
        found = torch.autograd.grad(loss, parameters, retain_graph=True)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
    for optimiser in optimisers.values():
        optimiser.step()
    assert losses["loss_g"] == pytest.approx(loss_g.item(), rel=1e-5)
    assert losses["loss_d"] == pytest.approx(loss_d.item(), rel=1e-5)
    for name, network in ours.items():
        for (key, mine), other in zip(
            network.named_parameters(), theirs[name].parameters(), strict=True
        ):
            # Adam's first step is the rate times the gradient's sign, where there is a gradient.
            agree = (mine - other).abs() < 1e-6
            assert agree.float().mean() > 0.99, (name, key)


def test_the_code_of_g_and_the_features_of_d_have_the_code_s_sizes(normals: ArrayStore) -> None:
    networks = CASE.networks(normals)
    x = code = torch.zeros(2, 3, 16, 16)
    for level in cast(Generator, networks["generator"]).encoder:
        code = level(code)
    assert code.shape == (2, 32, 1, 1)
    assert networks["discriminator"](x)[1].shape == (2, 100)


def test_orders_of_the_test_set(test: LabelledTest) -> None:
    found = orders(test, 0)
    assert test.normal[found[IN_ORDER]].tolist() == [True] * 20 + [False] * 12
    assert sorted(found[SHUFFLED]) == list(range(32))
    assert not np.array_equal(found[SHUFFLED], found[IN_ORDER])


@pytest.mark.parametrize(("share", "most"), [(1.0, 8), (0.75, 6), (0.5, 4)])
def test_batches_hold_one_class_by_a_share(test: LabelledTest, share: float, most: int) -> None:
    order = mixed_order(test, share, 8, 0)
    normal = test.normal[order].reshape(-1, 8).sum(axis=1).tolist()
    assert normal == [most if number % 2 == 0 else 8 - most for number in range(len(normal))]
    assert len(np.unique(order)) == len(order) >= 16


def test_batches_of_mixed_classes_have_their_own_statistics(
    normals: ArrayStore, test: LabelledTest
) -> None:
    networks = CASE.networks(normals)
    order = mixed_order(test, 0.75, 8, CASE.seed)
    own, running = (
        score(copy.deepcopy(networks), CASE, test, order, own_statistics=each)
        for each in (True, False)
    )
    assert measure_mixed(networks, CASE, test)["0.75"] == own != running


def test_validation_images_train_too(cifar: Path) -> None:
    split = Cifar(cifar, Size()).case("car")
    both = [part.read(0, len(part)) for part in (split.train, split.validation)]
    assert min(map(len, both)) > 0
    trained = parts_of(Cifar(cifar, Size()), "car")[0]
    np.testing.assert_array_equal(trained.read(0, len(trained)), np.concatenate(both))


@pytest.mark.parametrize(("limit", "times"), [(0.0, 0), (np.inf, 5)])
def test_d_is_drawn_anew_when_its_loss_is_nothing(
    normals: ArrayStore, monkeypatch: pytest.MonkeyPatch, limit: float, times: int
) -> None:
    monkeypatch.setattr(authors, "REDRAWN_BELOW", limit)
    networks = CASE.networks(normals)
    reader = ShuffledReader(normals, 8, 0, 1, CASE.seed)
    found = train_epoch(build_gan(networks, CASE.settings), CASE, reader, 0, lambda _: None)
    assert found["redrawn"] == times
    last = replace(CASE, seed=CASE.seed + 1000 * times).networks(normals)["discriminator"]
    weights = zip(networks["discriminator"].parameters(), last.parameters(), strict=True)
    assert all(torch.equal(mine, other) for mine, other in weights) == (times > 0)


def test_losses_are_means_over_the_steps(
    normals: ArrayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([{"loss_g": torch.tensor(g), "loss_d": torch.tensor(1.0)} for g in (1.0, 3.0)])
    monkeypatch.setattr(authors, "train_step", lambda *_: next(losses))
    model = build_gan(CASE.networks(normals), CASE.settings)
    reader = ShuffledReader(normals, 20, 0, 1, CASE.seed)
    found = train_epoch(model, CASE, reader, 0, lambda _: None)
    assert found["losses"] == {"loss_g": 2, "loss_d": 1}


def test_auc_of_each_protocol(normals: ArrayStore, test: LabelledTest) -> None:
    networks = CASE.networks(normals)
    found = measure(networks, CASE, test)
    x = torch.from_numpy(test.patches.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
    for name, order in orders(test, CASE.seed).items():
        by_hand = copy.deepcopy(networks)
        values = np.empty(len(order))
        for start in range(0, len(order), 8):
            rows = order[start : start + 8]
            with torch.no_grad():
                for network in by_hand.values():
                    network.train(name != EVAL)
                x_hat = by_hand["generator"](x[rows])
                features = [by_hand["discriminator"](each)[1] for each in (x[rows], x_hat)]
            residual = ((x[rows] - x_hat) ** 2).mean(dim=(1, 2, 3))
            values[rows] = 0.9 * residual + 0.1 * ((features[0] - features[1]) ** 2).mean(dim=1)
        expected = slow_auc(values[test.normal].tolist(), values[~test.normal].tolist())
        assert found[name]["anomaly_score"] == pytest.approx(expected, abs=1e-3), name
    assert len({found[name]["anomaly_score"] for name in (IN_ORDER, SHUFFLED, EVAL)}) == 3
    again = measure(networks, CASE, test)
    assert again == found  # scoring leaves the networks as they are


def test_the_seed_decides_the_weights_and_the_order(
    normals: ArrayStore, test: LabelledTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = (replace(CASE, seed=seed).networks(normals) for seed in (1, 2))
    weights = (next(networks["generator"].parameters()) for networks in (first, other))
    assert not torch.equal(*weights)
    readers: list[ShuffledReader] = []

    def epoch(*given: Any) -> dict[str, Any]:
        readers.append(given[2])
        return {}

    monkeypatch.setattr(authors, "train_epoch", epoch)
    for name in ("measure", "measure_mixed"):
        monkeypatch.setattr(authors, name, lambda *_: {EVAL: {"anomaly_score": 0.5}})
    run_case(CASE, normals, test, tmp_path)
    assert {(reader.seed, reader.batch_size) for reader in readers} == {(CASE.seed, 8)}


@pytest.mark.slow
def test_a_killed_case_goes_on_with_the_same_result(
    normals: ArrayStore, test: LabelledTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authors, "EARLY", (2,))
    monkeypatch.setattr(authors, "EPOCHS", 2)
    run_case(CASE, normals, test, tmp_path / "whole")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(authors, "measure_mixed", killed)
        with pytest.raises(KeyboardInterrupt):
            run_case(CASE, normals, test, tmp_path / "killed")
    assert list(unfinished([CASE], tmp_path / "killed")) == [CASE]
    run_case(CASE, normals, test, tmp_path / "killed")
    assert list(unfinished([CASE], tmp_path / "killed")) == []
    whole, again = (
        [{**row, "seconds": 0} for row in read_lines(tmp_path / name)]
        for name in ("whole", "killed")
    )
    assert whole == again
    assert [(row["epoch"], row["step"]) for row in whole] == [(0, 0), (0, 2), (1, 5), (2, 10)]
    (kept,) = (tmp_path / "whole/unfinished").iterdir()
    rates = [each["param_groups"][0]["lr"] for each in load_tensors(kept)["model"]["optimisers"]]
    assert rates == [2e-4, 2e-4]  # it never falls
    assert set(whole[-1]["mixed"]) == {"1", "0.95", "0.9", "0.75", "0.5"}


@pytest.mark.slow
def test_a_training_that_has_ended_is_finished_for_the_page(
    normals: ArrayStore, test: LabelledTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authors, "EARLY", (2, 4))
    moments = ("before training", "step 2", "step 4", *author_runs.EPOCHS_ONLY)
    monkeypatch.setattr(author_runs, "MOMENTS", moments)
    run_case(CASE, normals, test, tmp_path)
    rows = [{**row, "ngf": Case.ngf} for row in read_lines(tmp_path)]
    assert [run.finished for run in author_runs.runs_of(rows)] == [True]
    assert [run.finished for run in author_runs.runs_of(rows[:-1])] == [False]


def test_a_line_names_its_images_and_the_machine(tmp_path: Path) -> None:
    old = {"case": "plane", "seed": 1, "ngf": 4, "epoch": 0, "step": 0, "auc": {"eval": {}}}
    (tmp_path / "authors.jsonl").write_text(json.dumps(old) + "\n")
    auc = {"eval": {"anomaly_score": 0.5}}
    add_row(tmp_path, replace(CASE, data="cifar10-0"), 0, 0, auc)
    rows = read_lines(tmp_path)
    assert [row["data"] for row in rows] == ["cifar10", "cifar10-0"]
    assert rows[1]["machine"][0] == torch.__version__
    assert rows[1]["machine"][-1] == torch.get_num_threads()
    add_row(tmp_path, CASE, 0, 0, auc)  # in place of the old line
    assert [row["data"] for row in read_lines(tmp_path)] == ["cifar10-0", "cifar10"]


def test_a_gpu_scores_in_float32(
    normals: ArrayStore, test: LabelledTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf32 = []

    def spied(*arguments: Any) -> dict[str, np.ndarray]:
        tf32.append(torch.backends.cudnn.allow_tf32)
        return reference_scores(*arguments)

    monkeypatch.setattr(authors, "reference_scores", spied)
    measure(CASE.networks(normals), CASE, test)
    assert tf32 == [False] * 3


def test_a_score_of_no_images_is_not_defined(normals: ArrayStore, test: LabelledTest) -> None:
    only = np.flatnonzero(test.normal)
    found = score(CASE.networks(normals), CASE, test, only, own_statistics=False)
    assert found == {"anomaly_score": None, "residual": None, "latent": None}
