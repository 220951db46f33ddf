"""What bfloat16 does to the AUC of a whole training: every seed once in each precision.

    dvc repro extract
    python -m benchmarks.precision [--patches data/patches] [--ngf 16] [--epochs 3] [--seeds 0 1 2]

The AUC is that on the labelled validation part, at the epoch that the criterion without labels
chooses; the test part is not read. Differences between seeds are what a difference between
precisions has to pass to be one.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.train_step import LOSSES
from pipeline.models.settings import ModelSettings, Precision
from pipeline.patch_store import PatchStore
from pipeline.selection import LABELLED, load_validation
from pipeline.splits import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.training import TrainSettings, Worker, train

PRECISIONS: tuple[Precision, Precision] = ("float32", "bfloat16")


def labelled_auc(patches: Path, width: int, epochs: int, seed: int, precision: Precision) -> float:
    """Of one training, at its best epoch."""
    model = ModelSettings(width, width, 64, 2e-3, 0.5, 0.999, 0.9, precision)
    validation = load_validation(
        PatchStore(patches, VALIDATION), seed, PatchStore(patches, LABELLED_VALIDATION)
    )
    state = train(
        TrainSettings(model, LOSSES, epochs, seed),
        PatchStore(patches, TRAIN),
        validation,
        Worker(),
        lambda _metrics, _state: None,
    )
    return float(state["history"][int(state["best"]["epoch"]) - 1][LABELLED])


def main() -> None:
    """Print a line a seed, and the difference."""
    parser = argparse.ArgumentParser(description="AUC after training in bfloat16, and in float32")
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--ngf", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    found = np.array(
        [
            [labelled_auc(given.patches, given.ngf, given.epochs, seed, p) for p in PRECISIONS]
            for seed in given.seeds
        ]
    )
    for seed, (plain, short) in zip(given.seeds, found, strict=True):
        print(f"seed {seed}: float32 {plain:.4f}, bfloat16 {short:.4f}, {short - plain:+.4f}")
    gained = found[:, 1] - found[:, 0]
    print(f"mean difference {gained.mean():+.4f}, of seeds {gained.min():+.4f} {gained.max():+.4f}")
    low, high = found[:, 0].min(), found[:, 0].max()
    print(f"float32 alone runs from {low:.4f} to {high:.4f} over the seeds")


if __name__ == "__main__":
    main()
