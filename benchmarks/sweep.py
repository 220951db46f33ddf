"""The share of a sweep's time that is spent in training steps: 8 trials, 2 at once.

    python -m benchmarks.sweep [--epochs 2]

Runs the pipeline's sweep on Ray, with the demo's width and number of patches, on noise. The bar is
for the time from the first trial's start to the last trial's end, counted twice for the two trials
at once. The share with Ray's start and end, which a sweep pays once, is printed beside it.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.read import SHARDS, write_shard, write_splits
from benchmarks.timing import Row, print_rows
from benchmarks.train_step import model_settings
from pipeline.cluster.session import ray_session
from pipeline.cluster.storage import Storage
from pipeline.common.names import LABELLED_VALIDATION, NORMAL, TRAIN, VALIDATION
from pipeline.settings.blocks import TuneSettings
from pipeline.sweeps.results import TrialResult
from pipeline.sweeps.trainable import SweepJob
from pipeline.sweeps.tune import run_sweep, sweep_objective
from pipeline.tracking.tracked_run import StoredRun
from pipeline.tracking.tracker import Tracker

BAR = 0.8
TRIALS, CONCURRENT, EPOCHS = 8, 2, 2
PATCHES, HELD_OUT = 16384, 512  # to train on; to validate on, of each kind
WIDTH = 8  # the demo's


@dataclass(frozen=True)
class Shares:
    """The shares of the time of the trials' places that are spent in training steps."""

    trials: float  # from the first trial's start to the last one's end
    process: float  # from before Ray's start to after the sweep

    @classmethod
    def of(cls, trials: list[TrialResult], seconds: float) -> "Shares":
        """Compute the shares from the trials' figures and the seconds of the whole sweep."""
        training = sum(trial.training_seconds for trial in trials)
        span = max(trial.ended for trial in trials)
        return cls(training / (CONCURRENT * span), training / (CONCURRENT * seconds))


def measure(epochs: int = EPOCHS) -> list[Row]:
    """Return the benchmark row: the share of the trials' time that is training."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_patches(folder)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
        run = StoredRun(Tracker.open(), "benchmark").child("sweep")
        job = SweepJob(
            model_settings(WIDTH), settings(epochs), name, sweep_objective(folder), key="benchmark"
        )
        started = time.perf_counter()
        with ray_session():
            result = run_sweep(job, Storage(str(folder / "ray")), run)
        seconds = time.perf_counter() - started
    trials = list(result.trials)
    shares = Shares.of(trials, seconds)
    detail = (
        f"{sum(t.training_seconds for t in trials):.0f} s of training in {len(trials)} trials; "
        f"{shares.process:.2f} of the {seconds:.0f} s with Ray's start and end"
    )
    return [Row(f"sweep, {CONCURRENT} trials at once", shares.trials, BAR, detail)]


def settings(epochs: int) -> TuneSettings:
    """Return settings by which every trial trains to its end: the same work each time."""
    return TuneSettings(
        trials=TRIALS,
        epochs=epochs,
        concurrent=CONCURRENT,
        sampler="random",
        scheduler="none",
        max_failed=0,
    )


def make_patches(folder: Path) -> None:
    """Write noise to train and to validate on, and as much that is labelled abnormal."""
    normal = (NORMAL,) * (PATCHES // SHARDS)
    held_out = (NORMAL,) * HELD_OUT
    write_splits(
        folder,
        {
            TRAIN: [write_shard(folder, TRAIN, number, normal) for number in range(SHARDS)],
            VALIDATION: [write_shard(folder, VALIDATION, SHARDS, held_out)],
            LABELLED_VALIDATION: [
                write_shard(folder, LABELLED_VALIDATION, 0, (*held_out, *("noise",) * HELD_OUT))
            ],
        },
    )


def main() -> None:
    """Print the benchmark row."""
    parser = argparse.ArgumentParser(description="the share of a sweep that is training")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    print_rows(measure(parser.parse_args().epochs))


if __name__ == "__main__":
    main()
