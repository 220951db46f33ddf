"""Small jobs that slow tests run in processes of their own, so that these can be killed.

python -m tests.jobs train PATCHES FOLDER    trains on two workers, leaves FOLDER/state.pt
python -m tests.jobs sweep PATCHES FOLDER    sweeps four trials, leaves FOLDER/trials.json
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

from pipeline.checkpoints import save_tensors
from pipeline.files import write_json
from pipeline.ray_cluster import ray_session
from pipeline.ray_train import TrainJob, train_on_ray
from pipeline.ray_tune import SweepJob, run_sweep, sweep_objective
from pipeline.settings import TuneSettings
from pipeline.tracking import Tracker
from pipeline.training import TrainSettings
from tests.conftest import LOSSES, MODEL

TRAIN = TrainSettings(model=MODEL, losses=LOSSES, epochs=4, seed=5)
TUNE = TuneSettings(
    trials=4,
    epochs=2,
    concurrent=1,
    seed=0,
    lambda_adv=(0.1, 10),
    lambda_con=(4, 400),
    lambda_lat=(0.1, 10),
    latent_dim=(5, 10),
)


def train_job(patches: str, folder: Path) -> None:
    tracker = open_tracker(folder)
    run_id = tracker.child_run("test", "training")
    job = TrainJob(TRAIN, patches, TRAIN.key("data", 2), tracker, run_id)
    with ray_session():
        state = train_on_ray(job, workers=2, use_gpu=False, storage=str(folder / "ray"))
    save_tensors(folder / "state.pt", state)


def sweep_job(patches: str, folder: Path) -> None:
    tracker = open_tracker(folder)
    job = SweepJob(MODEL, TUNE, patches, sweep_objective(Path(patches)), "key")
    sweep_run = tracker.child_run("test", "sweep")
    with ray_session():
        result = run_sweep(job, str(folder / "ray"), tracker, sweep_run)
    content = {
        "trials": [asdict(trial) for trial in result.trials],
        "best": asdict(result.best),
        "sweep_run": sweep_run,
    }
    write_json(folder / "trials.json", content)


def open_tracker(folder: Path) -> Tracker:
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    return Tracker.open()


if __name__ == "__main__":
    {"train": train_job, "sweep": sweep_job}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
