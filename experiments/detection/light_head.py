"""Can a threat be learned from a few labels? A logistic regression on simple features of windows.

    python -m experiments.detection.light_head                            # the test of data/patches
    python -m experiments.detection.light_head --sixray path/to/sixray    # scans of SIXray

The scans are divided into two halves. The windows of each half are scored by a head that learned
from the labels of the other half, so no window is scored by a head that knew its bag. It is no
detection method, because it knows the threats beforehand: it says whether the scans hold threats
that a light model can learn, as real scans do (README.md in this folder).

The features are those of `experiments.detection.terms`, and the regression is that of the method
granulometry's head.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.detection.judging import WindowLabels, require_labels, scores_text
from experiments.detection.terms import pixel_terms
from experiments.run import run_main
from pipeline.common.names import NORMAL, TEST, Patches, Scores
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.models.methods.granulometry import head
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import keep_windows, window_pixels
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.settings.windows import WindowRule

RULE = WindowRule()  # of windows cut from SIXray
PER_SCAN = 100  # normal windows of a scan of SIXray, whose scans are large
SEED = 0

Features = NDArray[np.float64]


def features_of(patches: Patches) -> Features:
    """Return the features (N, F) of patches (N, S, S, C), from 0 to 1."""
    return np.stack(list(pixel_terms(patches).values()), axis=1)


def halves(windows: WindowLabels) -> Iterator[NDArray[np.bool_]]:
    """Yield (N,) True for the windows of one half of the scans, then of the other half.

    Each half has half of the scans with a threat, and half of those without one.
    """
    rng = np.random.default_rng(SEED)
    first = [
        scan
        for scans in (windows.threat_scans(), windows.normal_scans())
        for scan in rng.permutation(scans)[::2]
    ]
    in_first = np.isin(windows.scan_ids, first)
    yield in_first
    yield ~in_first


def head_scores(features: Features, windows: WindowLabels) -> Scores:
    """Score the windows (N, F) of each half by a head that learned from the other half, (N,)."""
    scores = np.zeros(len(features))
    for judged in halves(windows):
        weights, bias = head.fit(features[~judged], windows.abnormal[~judged])
        scores[judged] = features[judged] @ weights + bias
    return scores


def judged_text(patches: Patches, windows: WindowLabels) -> str:
    """Return the table of the head and of the scores without a model, for patches (N, S, S, C)."""
    scores = {name: score(patches) for name, score in TRIVIAL_SCORES.items()}
    scores["light_head"] = head_scores(features_of(patches), windows)
    return scores_text(scores, windows, ["metal_amount"])


def sixray_windows(folder: Path) -> tuple[Patches, WindowLabels]:
    """Cut windows from scans of SIXray: all of scans with a threat, some of the others."""
    source = MasksSource(folder, SIXRAY, stretched=True)
    rng = np.random.default_rng(SEED)
    pixels, labels, scan_ids = [], [], []
    for entry in tqdm(source.listing().entries, "scans", unit="scan"):
        scan = source.read(entry)
        cut = keep_windows(scan, RULE)
        order = np.arange(len(cut.labels))
        kept = order if entry.classes else rng.permutation(order)[:PER_SCAN]
        pixels.append(window_pixels(scan.image, cut.origins[kept], RULE))
        labels += [cut.labels[index] for index in kept]
        scan_ids += [entry.scan_id] * len(kept)
    abnormal = np.array(labels) != NORMAL
    return np.concatenate(pixels), WindowLabels(abnormal, np.array(scan_ids))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="a light head on simple features, half labelled")
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--sixray", type=Path, help="a folder of SIXray's scans, instead")
    arguments = parser.parse_args()
    if arguments.sixray is not None:
        patches, windows = sixray_windows(arguments.sixray)
    else:
        store = PatchStore(arguments.patches, TEST)
        require_labels(store)
        patches = store.read(0, len(store))
        windows = WindowLabels.read(store)
    print(judged_text(patches, windows))


if __name__ == "__main__":
    run_main(main)
