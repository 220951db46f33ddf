"""AUC and its interval by scan.

Every process of a training imports this module, so it does without scikit-learn, which takes a
second and a half to import; the tests compare the two.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Scores


@dataclass(frozen=True)
class AucEstimate:
    """An AUC with its 95% bootstrap interval; all None where a class has no windows.

    Attributes:
        auc: area under the ROC curve, 0 to 1.
        low, high: 2.5th and 97.5th percentile over resamples of whole scans.
        normal, abnormal: how many windows of each kind it stands on.
    """

    auc: float | None
    low: float | None
    high: float | None
    normal: int
    abnormal: int

    def __str__(self) -> str:
        if self.auc is None:
            return "not defined"
        return f"{self.auc:.3f} [{self.low:.3f} {self.high:.3f}]"


def auc(normal: Scores, abnormal: Scores) -> float | None:
    """AUC of abnormal against normal scores, higher meaning more abnormal.

    None where it is not defined: one of the two is empty, or a score is NaN.
    """
    scores = np.concatenate([normal, abnormal])
    if len(normal) == 0 or len(abnormal) == 0 or np.isnan(scores).any():
        return None
    positive = np.repeat([False, True], [len(normal), len(abnormal)])
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    return _weighted_auc(np.ones(len(scores), dtype=np.int64), positive[order], starts)


def auc_by_scan(
    scores: Scores,
    abnormal: NDArray[np.bool_],
    scan_ids: NDArray[np.str_],
    samples: int,
    seed: int,
) -> AucEstimate:
    """AUC with an interval from resampling whole scans, since windows of one scan are alike.

    Args:
        scores: (N,) scores, higher meaning more abnormal.
        abnormal: (N,) True where a window is abnormal.
        scan_ids: (N,) the scan of each window.
        samples: how many resamples; those that lack one of the kinds are left out, and without
            any the interval is the AUC itself.
        seed: of the resampling.
    """
    normal_count, abnormal_count = int((~abnormal).sum()), int(abnormal.sum())
    value = auc(scores[~abnormal], scores[abnormal])
    if value is None:
        return AucEstimate(None, None, None, normal_count, abnormal_count)
    resampled = resampled_aucs(scores, abnormal, scan_ids, samples, seed)
    low, high = (value, value) if np.isnan(resampled).all() else interval(resampled)
    return AucEstimate(value, low, high, normal_count, abnormal_count)


def resampled_aucs(
    scores: Scores,
    abnormal: NDArray[np.bool_],
    scan_ids: NDArray[np.str_],
    samples: int,
    seed: int,
) -> Scores:
    """AUCs, (samples,), of draws of as many scans; NaN where a draw lacks one of the kinds.

    The draws depend on the seed and the scans alone. Two scores of the same windows therefore get
    the same draws, and the difference of their AUCs is a paired one.

    Args:
        scores: (N,) scores without NaN, higher meaning more abnormal.
        abnormal: (N,) True where a window is abnormal.
        scan_ids: (N,) the scan of each window.
        samples: how many draws.
        seed: of the draws.
    """
    names, scan = np.unique(scan_ids, return_inverse=True)
    even = np.full(len(names), 1 / len(names))
    draws = np.random.default_rng(seed).multinomial(len(names), even, size=samples)
    order = np.argsort(scores, kind="stable")
    scan, abnormal = scan[order], abnormal[order]
    _, starts = np.unique(scores[order], return_index=True)  # where a run of equal scores starts
    return np.array([_weighted_auc(drawn[scan], abnormal, starts) for drawn in draws])


def interval(values: Scores) -> tuple[float, float]:
    """2.5th and 97.5th percentile of resampled values; those that are NaN are left out."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def _weighted_auc(
    weights: NDArray[np.int64], abnormal: NDArray[np.bool_], starts: NDArray[np.intp]
) -> float:
    """AUC with a weight for each window, sorted by score; ties count half.

    NaN where the windows of one kind weigh nothing.
    """
    positive = np.add.reduceat(weights * abnormal, starts)
    negative = np.add.reduceat(weights * ~abnormal, starts)
    pairs = int(positive.sum()) * int(negative.sum())
    if pairs == 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float(positive @ (2 * below + negative)) / (2 * pairs)
