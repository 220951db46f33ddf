"""AUC per class of the scores that need no model, on the extracted patches.

    python -m experiments.detection.trivial_scores [--patches data/patches] [--limit 0.85]

Uses every split, since nothing is learned. Exits with status 1 if an AUC is above the limit.
"""

import argparse
from pathlib import Path

import numpy as np

from experiments.run import run_main
from pipeline.common.names import NORMAL, SPLITS
from pipeline.evaluation.auc_table import AucTable, auc_table, estimates_text
from pipeline.evaluation.scores import WindowScores
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.patches.store import PatchStore

SAMPLES = 200


def trivial_table(patches: Path) -> AucTable:
    """Return the AUC of each trivial score for each class, and overall."""
    stores = [PatchStore(patches, split) for split in SPLITS]
    scores = {
        name: np.concatenate([score(block) for store in stores for block in store.blocks()])
        for name, score in TRIVIAL_SCORES.items()
    }
    labels = np.concatenate([store.labels for store in stores])
    scan_ids = np.concatenate([store.scan_ids for store in stores])
    classes = tuple(name for name in stores[0].classes if name != NORMAL)
    return auc_table(WindowScores(labels, scan_ids, scores), classes, SAMPLES, seed=0)


def main() -> int:
    """Print the table; return 1 if an AUC is above the limit."""
    parser = argparse.ArgumentParser(description="AUC of scores that need no model")
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--limit", type=float, default=0.85)
    arguments = parser.parse_args()
    table = trivial_table(arguments.patches)
    aucs = [estimate.auc for row in table.values() for estimate in row.values()]
    worst = max((auc for auc in aucs if auc is not None), default=0.0)
    print(estimates_text(table))
    print(f"highest {worst:.3f}, limit {arguments.limit}")
    return int(worst > arguments.limit)


if __name__ == "__main__":
    run_main(main)
