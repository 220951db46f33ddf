"""Points of ROC curves and histograms (Figure 5), for plots."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from pipeline.common.names import NORMAL, Scores
from pipeline.evaluation.scores import ANOMALY, OVERALL, WindowScores

CURVE_POINTS = 200  # of a ROC curve in a plot file
BINS = 50


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


def histogram_rows(test: WindowScores) -> Iterator[dict[str, Any]]:
    """Yield Figure 5 as rows: density of the scaled anomaly score, normal and abnormal patches."""
    scores = test.scores[ANOMALY]
    edges = np.histogram_bin_edges(scores, BINS)
    for name, mask in ((NORMAL, test.normal), ("abnormal", ~test.normal)):
        if not mask.any():
            continue
        density, _ = np.histogram(scores[mask], edges, density=True)
        for left, right, value in zip(edges, edges[1:], density, strict=False):
            middle = float((left + right) / 2)
            yield {"class": name, "anomaly_score": middle, "density": float(value)}
