"""What `tune` and `train` refuse before Ray starts."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from ray._private.resource_and_label_spec import ResourceAndLabelSpec

from pipeline.cluster import preflight
from pipeline.cluster.preflight import require_local_capacity
from pipeline.common.errors import InputError
from pipeline.common.names import TRAIN
from pipeline.models import precision
from pipeline.patches.store import PatchStore
from pipeline.settings.blocks import TuneSettings
from pipeline.settings.resources import WorkerRange, WorkerResources
from pipeline.settings.search_space import DEFAULT_SPACE, Choices, Range
from pipeline.sweeps.tune import require_runnable
from pipeline.training.on_ray import require_trainable
from tests.tiny import MODEL
from tests.tiny import TRAIN as SETTINGS

ONE = WorkerResources(cpus=1, gpus=0)
TUNE = TuneSettings(trials=1, epochs=1, concurrent=1)
FIXED = {name: Choices((1,)) for name in DEFAULT_SPACE}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_job_that_fits_is_let_through(patches: Path) -> None:
    store = PatchStore(patches, TRAIN)
    require_trainable(SETTINGS, store, WorkerRange(1, 2), ONE)
    require_runnable(MODEL, TUNE, store)


def test_a_training_without_room_or_patches_is_refused(patches: Path) -> None:
    store = PatchStore(patches, TRAIN)
    with pytest.raises(
        InputError,
        match=r"^train\.workers: got 2 workers of 4096 CPU each, expected at most 0: this machine",
    ):
        require_trainable(SETTINGS, store, 2, replace(ONE, cpus=4096))
    large = replace(SETTINGS, model=replace(MODEL, batch_size=2**20))
    with pytest.raises(InputError, match="batch_size"):
        require_trainable(large, store, 2, ONE)
    with pytest.raises(InputError, match="a multiple of 3 workers"):
        require_trainable(SETTINGS, store, WorkerRange(2, 3), ONE)


def test_a_sweep_without_room_or_patches_is_refused(patches: Path) -> None:
    store = PatchStore(patches, TRAIN)
    message = r"^tune\.concurrent times tune\.workers: got 6 workers of 4096 CPU each, expected at"
    with pytest.raises(InputError, match=message):
        require_runnable(MODEL, replace(TUNE, concurrent=3, workers=2, cpus=4096), store)
    with pytest.raises(InputError, match="batch_size"):
        require_runnable(replace(MODEL, batch_size=2**20), TUNE, store)


def test_a_population_without_anything_to_change_is_refused(patches: Path) -> None:
    space: dict[str, Range | Choices] = {**FIXED, "lambda_adv": (0.1, 10.0)}
    asked = replace(TUNE, epochs=2, sampler="random", scheduler="pbt", space=space)
    store = PatchStore(patches, TRAIN)
    require_runnable(MODEL, asked, store)
    with pytest.raises(InputError, match=r"one of .* that the method has"):
        require_runnable(replace(MODEL, method="egbad"), asked, store)


def test_a_cluster_s_room_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    require_local_capacity("train.workers", 4096, {"CPU": 1.0})


def test_a_precision_without_instructions_is_refused_where_the_workers_run_here(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, slow = PatchStore(patches, TRAIN), replace(MODEL, precision="bfloat16")
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: 25.0)
    training = partial(require_trainable, replace(SETTINGS, model=slow), store, 1, ONE)
    for require in (training, partial(require_runnable, slow, TUNE, store)):
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("RAY_ADDRESS", "10.0.0.1:6379")
            require()
        with pytest.raises(InputError, match=r"model\.precision: bfloat16 takes .* 25 times"):
            require()
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: 0.5)
    require_runnable(slow, TUNE, store)


@pytest.mark.parametrize(
    ("each", "room"),
    [
        ({"GPU": 0.4}, 4),
        ({"GPU": 0.1}, 20),
        ({"GPU": 0.6, "CPU": 1.0}, 2),
        ({"GPU": 1.0}, 2),
        ({"CPU": 0.1}, 160),
        ({"CPU": 0.7, "GPU": 0.0}, 22),
    ],
)
def test_a_fraction_of_a_gpu_is_taken_from_one_gpu(
    each: dict[str, float], room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = partial(ResourceAndLabelSpec, num_cpus=16, num_gpus=2)
    monkeypatch.setattr(preflight, "ResourceAndLabelSpec", machine)
    require_local_capacity("train.workers", room, each)
    with pytest.raises(InputError, match=f"expected at most {room}"):
        require_local_capacity("train.workers", room + 1, each)


@pytest.mark.slow
def test_a_processor_without_bfloat16_is_known_by_its_time() -> None:
    measure = "from pipeline.models.precision import *; print(bfloat16_slowdown() > SLOW)"
    without = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    found = subprocess.run(
        [sys.executable, "-c", measure], env=without, capture_output=True, text=True, check=True
    )
    assert found.stdout == "True\n"
