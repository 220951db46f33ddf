"""Can a threat be learned from a few labels? A logistic regression on simple features of windows.

    python -m experiments.detection.light_head                            # the test of data/patches
    python -m experiments.detection.light_head --sixray path/to/sixray    # scans of SIXray

The scans are divided into two halves. The windows of each half are scored by a head that learned
from the labels of the other half, so no window is scored by a head that knew its bag. It is no
detection method, because it knows the threats beforehand: it says whether the scans hold threats
that a light model can learn, as real scans do (README.md in this folder).

The features are granulometries: maps of attenuation are opened by discs of growing radius, and what
remains tells how much of a window is in pieces that are thicker than the disc.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from experiments.detection.judging import Windows, require_labels, scores_text
from pipeline.common.errors import InputError
from pipeline.common.names import NORMAL, TEST, Image, Patches, Scores
from pipeline.evaluation.trivial_scores import DENSE_LEVEL, METAL_LEVEL, TRIVIAL_SCORES
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import cut_windows
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.settings.windows import WindowRule

RADII = (0, 1, 2, 3, 4, 6, 8, 10)  # pixels, of the discs
BLURS = (1, 2, 4)  # sigma, pixels
REGULARISATION = 0.1  # C of scikit-learn's logistic regression
RULE = WindowRule()  # of windows cut from SIXray
PER_SCAN = 100  # normal windows of a scan of SIXray, whose scans are large
SEED = 0

Features = NDArray[np.float32]


def attenuation_maps(window: Image) -> Image:
    """Return four maps (S, S, 4) uint8 of a window: metal, dense matter, blueness, attenuation."""
    pixels = window.astype(np.float32)
    red, blue, brightness = pixels[..., 0], pixels[..., -1], pixels.mean(axis=2)
    metal, dense = 255 * METAL_LEVEL - red, 255 * DENSE_LEVEL - brightness
    maps = np.stack([metal, dense, blue - red, 255 - brightness], axis=2)
    return np.maximum(maps, 0).astype(np.uint8)


def window_features(window: Image) -> Features:
    """Return the features (69,) of a window (S, S, C), from 0 to 1.

    They are the mean and the maximum of each opened map, the total variation, the standard
    deviation, and what each blur takes away.
    """
    maps, found = attenuation_maps(window), []
    for radius in RADII:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
        opened = cv2.morphologyEx(maps, cv2.MORPH_OPEN, disc)
        found += [*opened.mean(axis=(0, 1)), *opened.max(axis=(0, 1))]
    brightness = window.mean(axis=2, dtype=np.float32)
    variation = [np.abs(np.diff(brightness, axis=axis)).mean() for axis in (0, 1)]
    lost = [np.abs(brightness - cv2.GaussianBlur(brightness, (0, 0), s)).mean() for s in BLURS]
    found += [np.mean(variation), brightness.std(), *lost]
    return np.array(found, np.float32) / np.float32(255)


def halves(windows: Windows) -> Iterator[NDArray[np.bool_]]:
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


def head_scores(features: Features, windows: Windows) -> Scores:
    """Score the windows (N, F) of each half by a head that learned from the other half, (N,)."""
    scores = np.zeros(len(features))
    for judged in halves(windows):
        head = make_pipeline(
            StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=2000)
        ).fit(features[~judged], windows.abnormal[~judged])
        scores[judged] = head.decision_function(features[judged])
    return scores


def judged_text(patches: Patches, windows: Windows) -> str:
    """Return the table of the head and of the scores without a model, for patches (N, S, S, C)."""
    features = np.stack([window_features(patch) for patch in tqdm(patches, unit="window")])
    scores = {name: score(patches) for name, score in TRIVIAL_SCORES.items()}
    scores["light_head"] = head_scores(features, windows)
    return scores_text(scores, windows, ["metal_amount"])


def sixray_windows(folder: Path) -> tuple[Patches, Windows]:
    """Cut windows from scans of SIXray: all of scans with a threat, some of the others."""
    source = MasksSource(folder, SIXRAY, stretched=True)
    rng = np.random.default_rng(SEED)
    pixels, labels, scan_ids = [], [], []
    for entry in tqdm(source.listing().entries, "scans", unit="scan"):
        cut = cut_windows(source.read(entry), RULE)
        order = np.arange(len(cut.labels))
        kept = order if entry.classes else rng.permutation(order)[:PER_SCAN]
        pixels.append(cut.pixels[kept])
        labels += [cut.labels[index] for index in kept]
        scan_ids += [entry.scan_id] * len(kept)
    abnormal = np.array(labels) != NORMAL
    return np.concatenate(pixels), Windows(abnormal, np.array(scan_ids))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="a light head on simple features, half labelled")
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--sixray", type=Path, help="a folder of SIXray's scans, instead")
    given = parser.parse_args()
    if given.sixray is not None:
        patches, windows = sixray_windows(given.sixray)
    else:
        store = PatchStore(given.patches, TEST)
        require_labels(store)
        patches = store.read(0, len(store))
        windows = Windows(~store.is_normal(), store.scan_ids)
    print(judged_text(patches, windows))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
