"""Points of ROC curves and histograms (Figure 5), for plots."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from pipeline.common.names import NORMAL, Scores
from pipeline.evaluation.scores import ANOMALY, OVERALL, WindowScores

CURVE_POINTS = 200  # of a ROC curve in a plot file
HISTOGRAM_BINS = 50


def roc(normal: Scores, abnormal: Scores) -> tuple[Scores, Scores]:
    """Return false and true positive rates, from (0, 0) to (1, 1); neither array may be empty."""
    labels = np.repeat([0, 1], [len(normal), len(abnormal)])
    false_positive, true_positive, _ = roc_curve(labels, np.concatenate([normal, abnormal]))
    return false_positive, true_positive


def roc_rows(test: WindowScores, classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield ROC curves of the anomaly score, a row per point; none for a class without windows."""
    scores = test.scores[ANOMALY]
    for name in (*classes, OVERALL):
        abnormal = test.abnormal(name)
        if not abnormal.any() or not test.normal.any():
            continue
        false_positive, true_positive = roc(scores[test.normal], scores[abnormal])
        grid = np.linspace(0, 1, CURVE_POINTS)
        for x, y in zip(grid, np.interp(grid, false_positive, true_positive), strict=True):
            yield {"class": name, "false_positive_rate": float(x), "true_positive_rate": float(y)}


def histogram(test: WindowScores) -> tuple[Scores, dict[str, Scores]]:
    """Return Figure 5: bins of the scaled anomaly score, and the density of each kind of patch.

    The first and the last bin also hold the 0.1% of the scores beyond them.

    Returns:
        The edges of the bins, (HISTOGRAM_BINS + 1,), and densities by kind, (HISTOGRAM_BINS,); the
        kinds are normal and abnormal, and a kind without patches is left out.
    """
    scores = test.scores[ANOMALY]
    low, high = np.percentile(scores, [0.1, 99.9]) if len(scores) else (0, 1)
    edges = np.histogram_bin_edges(scores, HISTOGRAM_BINS, (low, high))
    kinds = {NORMAL: test.normal, "abnormal": ~test.normal}
    clipped = scores.clip(edges[0], edges[-1])
    return edges, {
        kind: np.histogram(clipped[mask], edges, density=True)[0]
        for kind, mask in kinds.items()
        if mask.any()
    }


def histogram_rows(test: WindowScores) -> Iterator[dict[str, Any]]:
    """Yield Figure 5 as rows, one per kind of patch and bin, with the middle of the bin."""
    edges, densities = histogram(test)
    middles = (edges[:-1] + edges[1:]) / 2
    for kind, density in densities.items():
        for middle, value in zip(middles, density, strict=True):
            yield {"class": kind, "anomaly_score": float(middle), "density": float(value)}
