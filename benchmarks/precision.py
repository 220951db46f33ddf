"""The effect of bfloat16 on a training's AUC, against the effect of rounding in float32.

    dvc repro extract
    python -m benchmarks.precision [--patches data/patches] [--ngf 16] [--epochs 2] [--seeds 0 1 2]

Trains each seed in float32 on two threads, in float32 on one thread (which rounds sums in another
order), and in bfloat16. The AUC is on the labelled validation part, at the best epoch by the
label-free criterion. The test split is not read.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.train_step import LOSSES
from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.patches.store import PatchStore
from pipeline.settings.model import ModelSettings, Precision
from pipeline.training.criterion import LABELLED_AUC, load_validation
from pipeline.training.loop import TrainSettings, Worker, train

RUNS: dict[str, tuple[Precision, int]] = {
    "float32": ("float32", 2),
    "float32, one thread": ("float32", 1),
    "bfloat16": ("bfloat16", 2),
}


def labelled_auc(
    patches: Path, width: int, epochs: int, seed: int, precision: Precision, threads: int
) -> float:
    """Return the labelled AUC of one training, at its best epoch."""
    torch.set_num_threads(threads)
    model = ModelSettings(width, width, 2e-3, 0.9, precision=precision)
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
    return float(state["history"][int(state["best"]["epoch"]) - 1][LABELLED_AUC])


def main() -> None:
    """Print a line for each seed, and the mean difference of each run from the first."""
    parser = argparse.ArgumentParser(description="AUC after training in bfloat16, and in float32")
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--ngf", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    found = []
    for seed in arguments.seeds:
        aucs = [
            labelled_auc(arguments.patches, arguments.ngf, arguments.epochs, seed, *run)
            for run in RUNS.values()
        ]
        named = ", ".join(f"{name} {auc:.3f}" for name, auc in zip(RUNS, aucs, strict=True))
        print(f"seed {seed}: {named}", flush=True)
        found.append(aucs)
    away = np.array(found)[:, 1:] - np.array(found)[:, :1]
    for name, values in zip(list(RUNS)[1:], away.T, strict=True):
        print(f"{name}: {values.mean():+.3f}, by seed {values.min():+.3f} to {values.max():+.3f}")


if __name__ == "__main__":
    main()
