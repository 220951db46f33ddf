"""How far scores that need no model get on the extracted patches: AUC per class.

    python -m experiments.detection.trivial_scores [--patches data/patches] [--limit 0.85]

Every split counts, since nothing is learned. Exits with 1 where an AUC is above the limit.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from pipeline.common.metrics import AucEstimate, auc_by_scan
from pipeline.common.names import NORMAL, SPLITS
from pipeline.evaluation.evaluate import OVERALL
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.patches.store import PatchStore

SAMPLES = 200


def trivial_table(patches: Path) -> dict[str, dict[str, AucEstimate]]:
    """AUC of each trivial score for each class, and overall."""
    stores = [PatchStore(patches, split) for split in SPLITS]
    labels = np.concatenate([store.labels for store in stores])
    scan_ids = np.concatenate([store.scan_ids for store in stores])
    classes = [name for name in stores[0].classes if name != NORMAL]
    table = {}
    for score_name, score in TRIVIAL_SCORES.items():
        scores = np.concatenate([score(block) for store in stores for block in store.blocks()])
        table[score_name] = {
            name: _estimate(scores, labels, scan_ids, name) for name in (*classes, OVERALL)
        }
    return table


def _estimate(
    scores: np.ndarray, labels: np.ndarray, scan_ids: np.ndarray, class_name: str
) -> AucEstimate:
    abnormal = labels != NORMAL if class_name == OVERALL else labels == class_name
    used = abnormal | (labels == NORMAL)
    return auc_by_scan(scores[used], abnormal[used], scan_ids[used], SAMPLES, seed=0)


def main() -> int:
    """Print the table; 1 where an AUC is above the limit."""
    parser = argparse.ArgumentParser(description="AUC of scores that need no model")
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--limit", type=float, default=0.85)
    arguments = parser.parse_args()
    table = trivial_table(arguments.patches)
    classes = list(next(iter(table.values())))
    print("".join([f"{'AUC':<20}", *(f"{name:>22}" for name in classes)]))
    worst = 0.0
    for score, row in table.items():
        cells = [f"{e.auc:.3f} [{e.low:.3f} {e.high:.3f}]" for e in row.values()]
        worst = max(worst, *(e.auc for e in row.values() if e.auc is not None))
        print("".join([f"{score:<20}", *(f"{cell:>22}" for cell in cells)]))
    print("".join([f"{'windows':<20}", *(f"{e.abnormal:>22}" for e in row.values())]))
    print(f"highest {worst:.3f}, limit {arguments.limit}")
    return int(worst > arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
