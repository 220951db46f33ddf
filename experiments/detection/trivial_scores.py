"""AUC per class of the scores that need no model, on the extracted patches.

    python -m experiments.detection.trivial_scores [--patches data/patches]

Uses every split, since nothing is learned. Exits with status 1 if an AUC is above `LIMIT`.
"""

import argparse
from itertools import chain
from pathlib import Path

import numpy as np

from experiments.baselines import trivial_scores
from experiments.run import run_main
from pipeline.common.names import NORMAL, SPLITS
from pipeline.evaluation.auc_table import AucTable, auc_table, estimates_text
from pipeline.evaluation.scores import WindowScores
from pipeline.patches.store import PatchStore

SAMPLES = 200
LIMIT = 0.85


def trivial_table(patches: Path) -> AucTable:
    """Return the AUC of each trivial score for each class, and overall."""
    stores = [PatchStore(patches, split) for split in SPLITS]
    scores = trivial_scores(chain.from_iterable(store.blocks() for store in stores))
    labels = np.concatenate([store.labels for store in stores])
    scan_ids = np.concatenate([store.scan_ids for store in stores])
    classes = tuple(name for name in stores[0].classes if name != NORMAL)
    return auc_table(WindowScores(labels, scan_ids, scores), classes, SAMPLES, seed=0)


def main() -> int:
    """Print the table; return 1 if an AUC is above `LIMIT`."""
    parser = argparse.ArgumentParser(description="AUC of scores that need no model")
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    table = trivial_table(parser.parse_args().patches)
    aucs = [estimate.auc for row in table.values() for estimate in row.values()]
    worst = max((auc for auc in aucs if auc is not None), default=0.0)
    print(estimates_text(table))
    print(f"highest {worst:.3f}, limit {LIMIT}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    run_main(main)
