"""Small jobs on Ray, for slow tests: in a process of their own, which can be killed, or here.

python -m tests.on_ray.jobs JOB PATCHES FOLDER [STORAGE]

FOLDER is for the results, and for Ray's storage where the job is told no other. Where the storage
is an address, the jobs read the patches that they have uploaded there, as nodes do that cannot read
PATCHES.

train     trains on two workers, leaves FOLDER/state.pt
elastic   the same on one or two workers, half a CPU each
sweep     sweeps four trials, leaves FOLDER/trials.json
grid      the same over a grid, of which half fails
parallel  one trial of two workers
pbt       two trials, population based
"""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from pipeline.cluster.session import ray_session
from pipeline.cluster.storage import Storage
from pipeline.common.files import write_json
from pipeline.models.tensor_files import save_tensors
from pipeline.patches.upload import SharedPatches, upload_patches
from pipeline.settings.blocks import TuneSettings
from pipeline.settings.resources import WorkerRange, WorkerResources
from pipeline.settings.search_space import Choices
from pipeline.sweeps.trainable import SweepJob
from pipeline.sweeps.tune import run_sweep, sweep_objective
from pipeline.tracking.tracked_run import StoredRun
from pipeline.tracking.tracker import Tracker
from pipeline.training.log_curves import LogCurves
from pipeline.training.loop import TrainSettings
from pipeline.training.on_ray import TrainJob, train_on_ray
from tests.tiny import LOSSES, MODEL

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
# Two workers, which share a CPU.
PARALLEL = replace(TUNE, trials=1, workers=2, cpus=0.5)
PBT = replace(
    TUNE,
    trials=2,
    epochs=3,
    concurrent=2,
    sampler="random",
    scheduler="pbt",
    space={**ONE, "lambda_con": (4, 400), "lambda_adv": Choices((1, 2))},
)


ELASTIC = WorkerRange(1, 2)


def run_job(job: str, patches: Path, folder: Path, storage: str | None = None) -> None:
    """Run a job on the Ray session that is open."""
    JOBS[job](patches, folder, Storage(storage or str(folder / "ray")))


def environment(folder: Path) -> dict[str, str]:
    """The environment of a job."""
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "TUNE_GLOBAL_CHECKPOINT_S": "1",  # Tune's own is 10 s, as long as these sweeps take
    }


def train_job(
    patches: Path,
    folder: Path,
    storage: Storage,
    workers: int | WorkerRange = 2,
    cpus: float = 1,
) -> None:
    run = StoredRun(Tracker.open(), "test").child("training")
    read, shared = place(patches, folder, storage)
    key = TRAIN.key("data", workers)
    job = TrainJob(TRAIN, read, key, shared=shared)
    curves = [LogCurves(run)]
    state = train_on_ray(job, workers, WorkerResources(cpus, gpus=0), storage, curves)
    save_tensors(folder / "state.pt", state)


def sweep_job(patches: Path, folder: Path, storage: Storage, asked: TuneSettings = TUNE) -> None:
    run = StoredRun(Tracker.open(), "test").child("sweep")
    objective = sweep_objective(patches)
    read, shared = place(patches, folder, storage)
    job = SweepJob(MODEL, asked, read, objective, "key", shared)
    result = run_sweep(job, storage, run)
    content = {
        "trials": [asdict(trial) for trial in result.trials],
        "best": dict(result.best),
        "sweep_run": run.id,
    }
    write_json(folder / "trials.json", content)


def place(patches: Path, folder: Path, storage: Storage) -> tuple[str, SharedPatches | None]:
    """The folder of patches that the job is told, and the shared ones."""
    shared = upload_patches(patches, storage, cache_gb=1)
    return str(folder / "nowhere") if shared else str(patches), shared


JOBS: dict[str, Callable[[Path, Path, Storage], None]] = {
    "train": train_job,
    "elastic": partial(train_job, workers=ELASTIC, cpus=0.5),
    "sweep": sweep_job,
    "grid": partial(sweep_job, asked=GRID),
    "parallel": partial(sweep_job, asked=PARALLEL),
    "pbt": partial(sweep_job, asked=PBT),
}


if __name__ == "__main__":
    name, patches, folder, *storage = sys.argv[1:]
    os.environ.update(environment(Path(folder)))
    with ray_session():
        run_job(name, Path(patches), Path(folder), *storage)
