import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from pipeline.checkpoints import CHECKPOINT, parse_checkpoint, save_checkpoint
from pipeline.errors import InputError
from pipeline.models.settings import LossSettings
from pipeline.patch_store import PatchStore
from pipeline.selection import CRITERION, LABELLED, Validation, load_validation
from pipeline.splits import TRAIN as TRAIN_SPLIT
from pipeline.splits import VALIDATION
from pipeline.training import (
    Metrics,
    State,
    TrainingDivergedError,
    TrainSettings,
    Worker,
    require_divisible,
    train,
)
from tests.conftest import MODEL, TRAIN


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


def same(left: Any, right: Any) -> bool:
    """Equal to the bit, whatever is nested in what; wall-clock seconds aside."""
    if isinstance(left, dict):
        keys = left.keys() - {"seconds"}
        return keys == right.keys() - {"seconds"} and all(same(left[k], right[k]) for k in keys)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else bool(left == right)


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
    assert halfway["settings"] == asdict(TRAIN)
    resumed, rest = run(patches, validation, resume=halfway)
    assert len(rest) == 1
    assert same(resumed, whole)


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
        cast(Validation, lambda _: {CRITERION: next(criteria), LABELLED: 0.5}),
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
    # Constant for half of the epochs, then linearly to 0; each is the rate of the epoch to come.
    assert rates == [[share] for share in (1, 1, 0.5, 0) for _network in range(2)]
    trained = [metrics["learning_rate"] for metrics in state["history"]]
    assert trained == [share * MODEL.learning_rate for share in (1, 1, 1, 0.5)]


def test_a_loss_that_is_not_finite_stops_the_training(
    patches: Path, validation: Validation
) -> None:
    wild = TrainSettings(MODEL, LossSettings(1e38, 1e38, 1e38, 10), 2, 0)
    with pytest.raises(TrainingDivergedError, match=r"lower model\.learning_rate"):
        run(patches, validation, wild)


@pytest.mark.parametrize(("batch_size", "workers"), [(64, 3), (4, 4)])
def test_a_batch_that_cannot_be_shared_out_is_refused(batch_size: int, workers: int) -> None:
    with pytest.raises(InputError, match=f"a multiple of {workers} workers"):
        require_divisible(batch_size, workers)


def test_the_key_depends_on_all_that_decides_the_result() -> None:
    key = TRAIN.key("data", 2)
    assert key == TRAIN.key("data", 2)
    assert key != TRAIN.key("data", 1)
    assert key != TRAIN.key("other", 2)
    assert key != TrainSettings(MODEL, TRAIN.losses, 3, 3).key("data", 2)
