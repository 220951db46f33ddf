"""The cost of the sweep itself: many trials that compute a formula instead of training.

    python -m benchmarks.sweep_scale [--trials 1000] [--epochs 1] [--sampler optuna]

Like real trials, each trial goes through `run_sweep`, in a Ray worker, with a checkpoint and a run
in MLflow (SQLite), but without training. Prints the wall time per trial, the number of calls to
MLflow and their seconds, and the growth of the driver's memory.
"""

import argparse
import math
import os
import resource
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

import pipeline.tracking.tracker
from benchmarks.read import make_store
from pipeline.cluster.session import ray_session
from pipeline.cluster.storage import Storage
from pipeline.settings.blocks import Sampler, TuneSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.search_space import Choices
from pipeline.sweeps.trainable import SweepJob, report_epoch
from pipeline.sweeps.tune import run_sweep
from pipeline.tracking.tracked_run import StoredRun
from pipeline.tracking.tracker import Tracker
from pipeline.training.criterion import LABELLED_AUC

CONCURRENT = 2
PATCHES = 256
CALLS: Counter[str] = Counter()  # to MLflow's client, by name
SECONDS: dict[str, float] = defaultdict(float)
CURVES = ("loss_g", "loss_adv", "loss_con", "loss_lat", "loss_d", "seconds")
MODEL = ModelSettings(8, 8, 2e-3, 0.9)


class CountingClient(MlflowClient):
    """MLflow's client, with its calls counted and timed."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return value if name.startswith("_") or not callable(value) else counted(name, value)


def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that is counted and timed."""

    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            return call(*args, **kwargs)
        finally:
            CALLS[name] += 1
            SECONDS[name] += time.monotonic() - started

    return run


def formula(config: dict[str, Any], job: SweepJob) -> None:
    """Run a trial; its objective is best at lambda_con 40 and lambda_adv 1."""
    off = math.log(config["lambda_con"] / 40) ** 2 + math.log(config["lambda_adv"]) ** 2
    for epoch in range(1, job.tune.epochs + 1):
        metrics = {"epoch": epoch, **dict.fromkeys(CURVES, 0.0), LABELLED_AUC: math.exp(-off)}
        report_epoch(metrics, {"epoch": epoch}, job)


def sweep(folder: Path, trials: int, epochs: int, sampler: Sampler) -> float:
    """Run the sweep; return its seconds without Ray's start."""
    make_store(folder / "patches", PATCHES)
    settings = TuneSettings(
        trials=trials,
        epochs=epochs,
        concurrent=CONCURRENT,
        sampler=sampler,
        scheduler="none",
        max_failed=0.0,
        space={
            "lambda_adv": (0.1, 10),
            "lambda_con": (4, 400),
            "lambda_lat": Choices((1,)),
            "latent_dim": Choices((100,)),
        },
    )
    job = SweepJob(MODEL, settings, str(folder / "patches"), LABELLED_AUC, "scale")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    run = StoredRun(Tracker.open(), "scale").child("sweep")
    CALLS.clear()
    SECONDS.clear()
    with ray_session():
        started = time.monotonic()
        run_sweep(job, Storage(str(folder / "ray")), run, trial=formula)
        return time.monotonic() - started


def megabytes() -> float:
    """Return the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the time of a trial, the calls to MLflow and the driver's memory."""
    parser = argparse.ArgumentParser(description="many trials of a trivial objective")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--sampler", default="optuna")
    arguments = parser.parse_args()
    pipeline.tracking.tracker.MlflowClient = CountingClient  # type: ignore[attr-defined]
    before = megabytes()
    with tempfile.TemporaryDirectory() as folder:
        seconds = sweep(Path(folder), arguments.trials, arguments.epochs, arguments.sampler)
    in_mlflow = sum(SECONDS.values())
    calls = sum(CALLS.values())
    setup = f"{arguments.epochs} epochs, {arguments.sampler}, {CONCURRENT} at a time"
    print(f"{arguments.trials} trials of a formula, {setup}")
    print(f"overhead       {seconds / arguments.trials:8.3f} s of wall time a trial")
    print(
        f"MLflow         {calls / arguments.trials:8.1f} calls a trial, {in_mlflow / seconds:.0%}"
    )
    print(f"driver         {megabytes():8.0f} MB at most, {before:.0f} before the sweep")
    for name, count in CALLS.most_common():
        each = 1000 * SECONDS[name] / count
        print(f"  {name:24} {count / arguments.trials:5.1f} a trial, {each:5.1f} ms each")


if __name__ == "__main__":
    main()
