import copy
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from pipeline.common.errors import InputError
from pipeline.common.names import TRAIN as TRAIN_SPLIT
from pipeline.common.names import VALIDATION
from pipeline.models.detector import Detector, fitted_detector
from pipeline.models.gan import Gan, build_gan, network_state
from pipeline.models.interface import method_of
from pipeline.models.nets import NetShape
from pipeline.models.tensor_files import CHECKPOINT, parse_checkpoint, save_checkpoint
from pipeline.patches.batches import ShuffledReader
from pipeline.patches.store import PatchStore
from pipeline.settings.model import LossSettings
from pipeline.settings.resources import WorkerRange, require_divisible
from pipeline.training import loop
from pipeline.training.criterion import (
    IMPLANT_AUC,
    LABELLED_AUC,
    Validation,
    load_validation,
)
from pipeline.training.loop import (
    Metrics,
    State,
    TrainingDivergedError,
    TrainSettings,
    Worker,
    _with_progress,
    fit_without_training,
    net_shape,
    shuffled_reader,
    train,
    train_epoch,
)
from tests.comparing import same
from tests.stores import store_of
from tests.tiny import MODEL, TRAIN


@pytest.fixture(scope="module")
def validation(patches: Path) -> Validation:
    return load_validation(PatchStore(patches, VALIDATION), seed=0, labelled=None)


def run(
    patches: Path,
    validation: Validation,
    settings: TrainSettings = TRAIN,
    resume: State | None = None,
) -> tuple[State, list[tuple[Metrics, State]]]:
    reports: list[tuple[Metrics, State]] = []
    store = PatchStore(patches, TRAIN_SPLIT)
    state = train(
        settings, store, validation, Worker(), lambda m, s: reports.append((m, s)), resume
    )
    return state, reports


def test_same_seed_same_losses(patches: Path, validation: Validation) -> None:
    first, _ = run(patches, validation)
    again, _ = run(patches, validation)
    assert same(first, again)
    other, _ = run(patches, validation, TrainSettings(MODEL, TRAIN.losses, 2, seed=4))
    assert first["history"][0]["loss_g"] != other["history"][0]["loss_g"]


def test_resumed_equals_uninterrupted(
    patches: Path, validation: Validation, tmp_path: Path
) -> None:
    store = PatchStore(patches, TRAIN_SPLIT)

    def keep(_metrics: Metrics, state: State) -> None:
        save_checkpoint(tmp_path / str(state["epoch"]), state, "key")

    whole = train(TRAIN, store, validation, Worker(), keep)
    halfway = parse_checkpoint((tmp_path / "1" / CHECKPOINT).read_bytes(), "here", "key")
    told, rest = list[float](), list[Metrics]()
    worker = Worker(tell_progress=told.append)
    resumed = train(TRAIN, store, validation, worker, lambda m, _: rest.append(m), halfway)
    assert len(rest) == 1
    assert same(resumed, whole)
    assert told == [1]  # replaces the progress that a killed process left


@pytest.mark.slow
def test_networks_taken_over_are_trained_at_the_own_learning_rate(
    patches: Path, validation: Validation
) -> None:
    settings = replace(TRAIN, epochs=4)
    _, reports = run(patches, validation, settings)
    halfway = copy.deepcopy(reports[1][1])
    own = replace(settings, model=replace(MODEL, learning_rate=1e-5))
    state, _ = run(patches, validation, own, resume=halfway)
    rates = [metrics["learning_rate"] for metrics in state["history"]]
    assert rates == [MODEL.learning_rate] * 2 + [1e-5, 0.5e-5]
    assert not same(state["model"]["networks"], reports[-1][1]["model"]["networks"])


def test_scores_that_are_no_numbers_stop_the_training(patches: Path) -> None:
    criterion = cast(Validation, lambda _: {IMPLANT_AUC: 0.5, "validation_residual": np.nan})
    with pytest.raises(TrainingDivergedError, match=r"^validation_residual is nan in epoch 1: "):
        run(patches, criterion)


@pytest.mark.slow
def test_training_lowers_the_contextual_loss(patches: Path, validation: Validation) -> None:
    settings = TrainSettings(MODEL, TRAIN.losses, 6, seed=0)
    state, _ = run(patches, validation, settings)
    losses = [metrics["loss_con"] for metrics in state["history"]]
    assert losses[-1] < 0.8 * losses[0]


@pytest.fixture(scope="module")
def of_known_criteria(patches: Path) -> tuple[State, list[State]]:
    """A training of four epochs with a criterion for each, and copies of the model after each."""
    criteria = iter([0.6, 0.8, 0.8, 0.7])
    models: list[State] = []
    state = train(
        replace(TRAIN, epochs=4),
        PatchStore(patches, TRAIN_SPLIT),
        cast(Validation, lambda _: {IMPLANT_AUC: next(criteria), LABELLED_AUC: 0.5}),
        Worker(),
        lambda _, state: models.append(copy.deepcopy(state["model"])),
    )
    return state, models


def test_the_best_epoch_is_the_first_of_the_highest_criterion_and_keeps_its_own_weights(
    of_known_criteria: tuple[State, list[State]],
) -> None:
    state, models = of_known_criteria
    assert (state["best"]["epoch"], state["best"]["criterion"]) == (2, 0.8)
    assert [same(state["best"]["networks"], model["networks"]) for model in models] == [
        False, True, False, False
    ]  # fmt: skip


def test_the_learning_rates_of_all_networks_fall_together(
    of_known_criteria: tuple[State, list[State]],
) -> None:
    state, models = of_known_criteria
    rates = [
        [group["lr"] / MODEL.learning_rate for group in optimiser["param_groups"]]
        for model in models
        for optimiser in model["optimisers"]
    ]
    # Constant for half of the epochs, then linearly to 0.
    assert rates == [[share] for share in (1, 1, 1, 0.5) for _network in range(2)]
    trained = [metrics["learning_rate"] for metrics in state["history"]]
    assert trained == [share * MODEL.learning_rate for share in (1, 1, 1, 0.5)]


def test_the_key_depends_on_all_that_decides_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    key = TRAIN.key("data", 2)
    assert key == TRAIN.key("data", 2)
    assert key != TRAIN.key("data", 1)
    assert key != TRAIN.key("other", 2)
    with monkeypatch.context() as patch:  # the same training rounds otherwise there
        patch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4, 5, 6})
        assert key != TRAIN.key("data", 2)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "3.0")
        assert key != TRAIN.key("data", 2)
    assert key != TrainSettings(MODEL, TRAIN.losses, 3, 3).key("data", 2)


def test_a_batch_is_shared_out_evenly() -> None:
    for batch_size, workers in ((64, 2), (2, 1), (6, 3)):
        require_divisible(batch_size, workers)
    message = r"^model\.batch_size: got 6, expected a multiple of 4 workers, 2 or more each$"
    with pytest.raises(InputError, match=message):
        require_divisible(6, 4)
    for batch_size, workers in ((1, 1), (4, 4), (64, 3)):
        with pytest.raises(InputError, match=f"a multiple of {workers} workers"):
            require_divisible(batch_size, workers)


def test_a_worker_reads_its_share_of_a_batch(patches: Path) -> None:
    store = PatchStore(patches, TRAIN_SPLIT)
    reader = shuffled_reader(TRAIN, store, 1, 2)
    assert (reader.batch_size, reader.rank, reader.world_size, reader.seed) == (8, 1, 2, 3)
    assert reader.store is store


def test_networks_fit_the_patches_and_the_settings(patches: Path) -> None:
    settings = replace(TRAIN, model=replace(MODEL, ngf=8, ndf=6))
    shape = net_shape(settings, PatchStore(patches, TRAIN_SPLIT))
    assert shape == NetShape(side=16, channels=3, ngf=8, ndf=6, latent_dim=10)


def test_an_epoch_s_metrics_are_means_over_its_batches(
    patches: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = PatchStore(patches, TRAIN_SPLIT)
    reader = shuffled_reader(TRAIN, store, 0, 1)
    steps: list[dict[str, float]] = []

    def step(model: Gan, x: torch.Tensor, weights: LossSettings) -> dict[str, torch.Tensor]:
        losses = method_of(MODEL).train_step(model, x, weights)
        steps.append({name: float(loss) for name, loss in losses.items()})
        return losses

    method = replace(method_of(MODEL), train_step=step)
    model = build_gan(method.build_networks(net_shape(TRAIN, store), 0), MODEL)
    model.generator.eval()
    found = train_epoch(method, model, reader, 0, TRAIN.losses, Worker())
    assert model.generator.training
    assert len(steps) == reader.batches_per_epoch > 2
    means = {name: sum(one[name] for one in steps) / len(steps) for name in steps[0]}
    assert found == pytest.approx(means)
    assert capsys.readouterr().out == ""


def test_progress_is_told_by_rank_0_now_and_then(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = iter(range(0, 1000, 10))  # a batch takes 10 seconds
    monkeypatch.setattr("pipeline.training.loop.time.monotonic", lambda: next(ticks))
    batches = [np.zeros(number, dtype=np.uint8) for number in range(5)]
    told: list[float] = []
    first, second = (Worker(rank, 2, tell_progress=told.append) for rank in (0, 1))
    assert [len(one) for one in _with_progress(iter(batches), 5, 2, first)] == [0, 1, 2, 3, 4]
    assert capsys.readouterr().out == "epoch 3: batch 2 of 5\nepoch 3: batch 4 of 5\n"
    assert told == [2.4, 2.8]  # epochs done
    assert len(list(_with_progress(iter(batches), 5, 2, second))) == 5
    assert capsys.readouterr().out == ""
    assert told == [2.4, 2.8]


def test_a_divergence_names_the_loss_and_the_epoch(patches: Path, validation: Validation) -> None:
    wild = TrainSettings(MODEL, LossSettings(1e38, 1e38, 1e38, 10), 2, 0)
    message = r"^loss_\w+ is (nan|inf) in epoch 1: lower model\.learning_rate"
    with pytest.raises(TrainingDivergedError, match=message):
        run(patches, validation, wild)


def test_a_history_tells_of_each_epoch(of_known_criteria: tuple[State, list[State]]) -> None:
    state, _ = of_known_criteria
    assert state["epoch"] == 4
    assert [metrics["epoch"] for metrics in state["history"]] == [1, 2, 3, 4]
    assert {metrics["workers"] for metrics in state["history"]} == {1}
    assert all(0 < metrics["seconds"] < 60 for metrics in state["history"])


def test_a_key_holds_the_range_of_workers() -> None:
    keys = {
        TRAIN.key("data", workers)
        for workers in (1, 2, WorkerRange(1, 2), WorkerRange(1, 3), WorkerRange(2, 3))
    }
    assert len(keys) == 5
    assert TRAIN.key("data", WorkerRange(1, 2)) == TRAIN.key("data", WorkerRange(1, 2))


def test_the_detector_that_is_validated_is_fitted_to_training_normals(tmp_path: Path) -> None:
    store = store_of(tmp_path, [32])
    settings = replace(TRAIN, epochs=1, model=replace(MODEL, latent_score="neighbours"))
    patches = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    scores: list[list[float]] = []

    def validate(detector: Detector) -> Metrics:
        scores.append(detector.score([patches]).anomaly.tolist())
        return {IMPLANT_AUC: 0.5}

    state = train(
        settings, store, cast(Validation, validate), Worker(), lambda _metrics, _state: None
    )
    shape, networks = net_shape(settings, store), state["best"]["networks"]
    detector = fitted_detector(shape, networks, settings.model, store.blocks())
    assert scores == [detector.score([patches]).anomaly.tolist()]


def test_a_method_without_networks_is_fitted_in_epoch_0(
    patches: Path, validation: Validation
) -> None:
    settings = replace(TRAIN, model=replace(MODEL, method="granulometry"))
    store = PatchStore(patches, TRAIN_SPLIT)
    state = fit_without_training(settings, store, validation)
    best, (metrics,) = state["best"], state["history"]
    assert (state["epoch"], best["epoch"], metrics["epoch"], best["networks"]) == (0, 0, 0, {})
    every = [store.read(0, len(store))]
    shape = net_shape(settings, store)
    expected = validation(fitted_detector(shape, {}, settings.model, every))[IMPLANT_AUC]
    assert best["criterion"] == metrics[IMPLANT_AUC] == expected != 0.5


def test_random_draws_are_of_seed_epoch_and_rank(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[float] = []

    def epoch(*_: Any) -> dict[str, float]:
        drawn.append(float(torch.rand(1)))
        return {"loss_g": 0.0}

    monkeypatch.setattr(loop, "train_epoch", epoch)
    monkeypatch.setattr(loop, "_average_buffers", lambda *_: None)

    def run(rank: int = 0, seed: int = 3) -> list[float]:
        drawn.clear()
        criterion = cast(Validation, lambda _: {IMPLANT_AUC: 0.5})
        settings, store = replace(TRAIN, seed=seed), PatchStore(patches, TRAIN_SPLIT)
        train(settings, store, criterion, Worker(rank, 2), lambda *_: None)
        return list(drawn)

    first = run()
    torch.rand(5)
    assert run() == first
    assert len({*first, *run(rank=1), *run(seed=4)}) == 3 * TRAIN.epochs


def test_each_epoch_has_its_own_order_of_patches(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def epoch(_reader: ShuffledReader, number: int) -> Iterator[np.ndarray]:
        read.append(number)
        return iter(())

    monkeypatch.setattr(ShuffledReader, "epoch", epoch)
    run(patches, cast(Validation, lambda _: {IMPLANT_AUC: 0.5}))
    assert read == [0, 1]


def test_the_first_weights_are_of_the_seed(patches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "train_epoch", lambda *_: {"loss_g": 0.0})
    settings = replace(TRAIN, epochs=1, seed=7)
    state, _ = run(patches, cast(Validation, lambda _: {IMPLANT_AUC: 0.5}), settings)
    shape = net_shape(settings, PatchStore(patches, TRAIN_SPLIT))
    drawn = network_state(method_of(MODEL).build_networks(shape, 7))
    assert same(state["model"]["networks"], drawn)


def test_a_training_s_key_depends_on_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = TRAIN.key("data", 1)
    monkeypatch.setattr(loop, "code_digest", lambda _: "other")
    assert TRAIN.key("data", 1) != before
