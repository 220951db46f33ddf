"""Compares the test's false-alarm rate with the one that was set, by number of validation scans.

Reads the patches and the model of the last run. Scores the normal windows of the validation and the
test split, then draws validation scans from all of these scans, sets a threshold on them, and
applies the threshold to the windows of all scans.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.common.names import TEST, VALIDATION, Scores
from pipeline.common.tables import text_table
from pipeline.models.trained_model import TrainedModel, calibrate
from pipeline.patches.store import PatchStore

DRAWS = 2000
SCANS = (5, 8, 20, 40, 100)


def normal_scores(model: TrainedModel, patches: Path, split: str) -> list[Scores]:
    """Return the anomaly scores of each scan's normal windows."""
    store = PatchStore(patches, split)
    anomaly, normal = model.detector().score(store.blocks()).anomaly, store.is_normal()
    names = np.unique(store.scan_ids[normal])
    return [anomaly[normal & (store.scan_ids == name)] for name in names]


def drawn_rates(scans: Sequence[Scores], count: int, rate: float, draws: int, seed: int) -> Scores:
    """Return the rates, (draws,), over all scans of thresholds that `count` scans give.

    Each draw is with replacement; its threshold lets the share `rate` of its windows through.
    """
    generator, every = np.random.default_rng(seed), np.sort(np.concatenate(scans))
    rates = []
    for _ in range(draws):
        drawn = [scans[place] for place in generator.integers(0, len(scans), count)]
        threshold = calibrate(np.concatenate(drawn), rate).threshold
        rates.append(1 - np.searchsorted(every, threshold, side="right") / len(every))
    return np.array(rates)


def main() -> None:
    """Print the rate found on each part, its spread over scans, and the rates of random draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--model", type=Path, default=Path("results/train/model.pt"))
    arguments = parser.parse_args()
    model = TrainedModel.load(arguments.model)
    target, threshold = model.calibration.false_alarm_rate, model.calibration.threshold
    parts = {n: normal_scores(model, arguments.patches, n) for n in (VALIDATION, TEST)}
    print(f"asked: {target:g} of the validation's normal windows")
    rows: list[tuple[object, ...]] = []
    for name, scans in parts.items():
        each = [float((scores > threshold).mean()) for scores in scans]
        found = float((np.concatenate(scans) > threshold).mean())
        rows.append((name, len(scans), *(f"{rate:.3f}" for rate in (found, min(each), max(each)))))
    print(text_table(("part", "scans", "found", "least of a scan", "most of a scan"), rows))
    pool = [scores for scans in parts.values() for scores in scans]
    rows = []
    for count in SCANS:
        low, middle, high = np.percentile(
            drawn_rates(pool, count, target, DRAWS, seed=0), [2.5, 50, 97.5]
        )
        rows.append((count, f"{middle:.3f}", f"{low:.3f} to {high:.3f}"))
    heads = ("validation scans, drawn at random", "median rate", "95% of the draws")
    print(text_table(heads, rows))


if __name__ == "__main__":
    main()
