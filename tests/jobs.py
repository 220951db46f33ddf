"""Small jobs that slow tests run in processes of their own, so that these can be killed.

A last argument, if any, is the storage; else it is FOLDER/ray. Where it is an address, the jobs
read the patches that they have uploaded there, as nodes do that cannot read PATCHES.

python -m tests.jobs train PATCHES FOLDER    trains on two workers, leaves FOLDER/state.pt
python -m tests.jobs elastic PATCHES FOLDER  the same on one or two workers, half a CPU each
python -m tests.jobs sweep PATCHES FOLDER    sweeps four trials, leaves FOLDER/trials.json
python -m tests.jobs grid PATCHES FOLDER     the same over a grid, of which half fails
python -m tests.jobs parallel PATCHES FOLDER the same, two workers a trial
python -m tests.jobs pbt PATCHES FOLDER      the same, population based
"""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from pipeline.checkpoints import save_tensors
from pipeline.files import write_json
from pipeline.ray_cluster import ray_session
from pipeline.ray_train import TrainJob, train_on_ray
from pipeline.ray_tune import SweepJob, run_sweep, sweep_objective
from pipeline.resources import WorkerRange, WorkerResources
from pipeline.search_space import Choices
from pipeline.settings import TuneSettings
from pipeline.shared_patches import SharedPatches, share_patches
from pipeline.tracking import Tracker
from pipeline.training import TrainSettings
from tests.conftest import LOSSES, MODEL

TRAIN = TrainSettings(model=MODEL, losses=LOSSES, epochs=4, seed=5)
TUNE = TuneSettings(
    cpus=1,
    gpus=0,
    workers=1,
    trials=4,
    epochs=2,
    concurrent=1,
    seed=0,
    sampler="optuna",
    scheduler="asha",
    max_failed=0.5,
    space={
        "lambda_adv": (0.1, 10),
        "lambda_con": (4, 400),
        "lambda_lat": (0.1, 10),
        "latent_dim": Choices((5, 10)),
    },
)

ONE = {"lambda_adv": Choices((1,)), "lambda_lat": Choices((1,)), "latent_dim": Choices((10,))}
# Half of its trials fail: at the second learning rate no loss stays finite.
GRID = replace(
    TUNE,
    epochs=1,
    sampler="grid",
    scheduler="none",
    space={**ONE, "lambda_con": Choices((4, 40)), "learning_rate": Choices((2e-3, 1e30))},
)
# Two workers a trial, of which two share a CPU; ASHA may stop one of the trials.
PARALLEL = replace(TUNE, trials=2, workers=2, cpus=0.5)
PBT = replace(
    TUNE,
    trials=2,
    epochs=3,
    concurrent=2,
    sampler="random",
    scheduler="pbt",
    space={**ONE, "lambda_con": (4, 400)},
)


def train_job(patches: str, folder: Path, workers: int | WorkerRange = 2, cpus: float = 1) -> None:
    tracker = open_tracker(folder)
    run_id = tracker.child_run("test", "training")
    storage, patches, shared = place(patches, folder)
    key = TRAIN.key("data", workers)
    job = TrainJob(TRAIN, patches, key, tracker, run_id, shared=shared)
    with ray_session():
        state = train_on_ray(job, workers, WorkerResources(cpus, gpus=0), storage)
    save_tensors(folder / "state.pt", state)


def sweep_job(patches: str, folder: Path, asked: TuneSettings = TUNE) -> None:
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1"  # Tune's own is 10 s, as long as these sweeps take
    tracker = open_tracker(folder)
    objective = sweep_objective(Path(patches))
    storage, patches, shared = place(patches, folder)
    job = SweepJob(MODEL, asked, patches, objective, "key", shared)
    sweep_run = tracker.child_run("test", "sweep")
    with ray_session():
        result = run_sweep(job, storage, tracker, sweep_run)
    content = {
        "trials": [asdict(trial) for trial in result.trials],
        "best": dict(result.best),
        "sweep_run": sweep_run,
    }
    write_json(folder / "trials.json", content)


def place(patches: str, folder: Path) -> tuple[str, str, SharedPatches | None]:
    """The storage, the folder of patches that the job is told, and the shared ones."""
    storage = sys.argv[4] if len(sys.argv) > 4 else str(folder / "ray")
    shared = share_patches(Path(patches), storage, cache_gb=1)
    return storage, str(folder / "nowhere") if shared else patches, shared


def open_tracker(folder: Path) -> Tracker:
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    return Tracker.open()


if __name__ == "__main__":
    jobs: dict[str, Callable[[str, Path], None]] = {
        "train": train_job,
        "elastic": partial(train_job, workers=WorkerRange(1, 2), cpus=0.5),
        "sweep": sweep_job,
        "grid": partial(sweep_job, asked=GRID),
        "parallel": partial(sweep_job, asked=PARALLEL),
        "pbt": partial(sweep_job, asked=PBT),
    }
    jobs[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
