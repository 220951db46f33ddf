"""AUC and rate of alarms, each with a bootstrap interval that resamples whole scans.

Every training process imports this module, so it does not use scikit-learn, whose import takes
1.5 seconds. The tests compare its AUC with scikit-learn's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Scores

NOT_DEFINED = "not defined"  # how a measure without value is shown
MIN_SCANS = 5  # fewer scans have no interval: their resamples are nearly all alike


@dataclass(frozen=True)
class AucEstimate:
    """An AUC with its 95% bootstrap interval; all three are None where the AUC is not defined.

    Attributes:
        auc: area under the ROC curve, 0 to 1.
        low, high: 2.5th and 97.5th percentile over resamples of whole scans; None for fewer than
            `MIN_SCANS` scans.
        normal, abnormal: number of windows of each kind.
        scans: number of scans with normal or with abnormal windows, whichever is smaller.
    """

    auc: float | None
    low: float | None
    high: float | None
    normal: int
    abnormal: int
    scans: int

    def __str__(self) -> str:
        return _shown(self.auc, self.low, self.high, self.scans)


@dataclass(frozen=True)
class RateEstimate:
    """A share or a mean, 0 to 1, with its 95% interval.

    Attributes:
        rate: the share of windows or of scans; None if there is none.
        low, high: ends of the 95% interval; None for fewer than `MIN_SCANS` scans.
        scans: number of scans in the estimate; of a statistic of threats, only scans with one.
    """

    rate: float | None
    low: float | None
    high: float | None
    scans: int

    def __str__(self) -> str:
        return _shown(self.rate, self.low, self.high, self.scans)


def auc(normal: Scores, abnormal: Scores) -> float | None:
    """Return the AUC of abnormal against normal scores; a higher score is more abnormal.

    Returns None where the AUC is not defined: an array is empty, or a score is NaN.
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
    resamples: int,
    seed: int,
) -> AucEstimate:
    """Return the AUC with an interval from resampled scans, since windows of one scan are alike.

    Args:
        scores: (N,) scores; a higher score is more abnormal.
        abnormal: (N,) True where a window is abnormal.
        scan_ids: (N,) the scan of each window.
        resamples: number of bootstrap resamples. Resamples without normal or without abnormal
            windows do not count; if none counts, or all give the same, there is no interval.
        seed: seed of the resampling.
    """
    normal_count, abnormal_count = int((~abnormal).sum()), int(abnormal.sum())
    scans = min(len(np.unique(scan_ids[kind])) for kind in (~abnormal, abnormal))
    value = auc(scores[~abnormal], scores[abnormal])
    low = high = None
    if value is not None and scans >= MIN_SCANS:
        resampled = resampled_aucs(scores, abnormal, scan_ids, resamples, seed)
        low, high = _interval(resampled)
    return AucEstimate(value, low, high, normal_count, abnormal_count, scans)


def rate_by_scan(
    flags: NDArray[np.bool_], scan_ids: NDArray[np.str_], resamples: int, seed: int
) -> RateEstimate:
    """Return the share of windows that are flagged, with an interval from resampled scans.

    Args:
        flags: (N,) True where a window is flagged.
        scan_ids: (N,) the scan of each window.
        resamples: number of bootstrap resamples, each of as many scans as there are.
        seed: seed of the resampling.
    """
    _, scan = np.unique(scan_ids, return_inverse=True)
    parts = np.stack([np.bincount(scan, flags), np.bincount(scan)], axis=1).astype(np.float64)
    return estimate_by_scan(parts, lambda total: total[0] / total[1], resamples, seed)


def estimate_by_scan(
    parts: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], float],
    resamples: int,
    seed: int,
    relevant_scans: int | None = None,
) -> RateEstimate:
    """Return a statistic of sums over scans, with an interval from resampled scans.

    Args:
        parts: (scans, ...), what each scan adds to the sum.
        statistic: of the sum, (...); 0 to 1. NaN where it is not defined.
        resamples: number of bootstrap resamples, each of as many scans as there are.
        seed: seed of the resampling.
        relevant_scans: number of scans without which the statistic is not defined; None for all.
            With fewer than `MIN_SCANS` of them there is no interval.
    """
    scans, shape = len(parts), parts.shape[1:]
    relevant_scans = scans if relevant_scans is None else relevant_scans
    value = statistic(parts.sum(axis=0)) if scans else np.nan
    if np.isnan(value):
        return RateEstimate(None, None, None, relevant_scans)
    low = high = None
    if relevant_scans >= MIN_SCANS:
        sums = _draws(scans, resamples, seed) @ parts.reshape(scans, -1)
        resampled = np.array([statistic(each.reshape(shape)) for each in sums])
        low, high = _interval(resampled)
    return RateEstimate(float(value), low, high, relevant_scans)


def resampled_aucs(
    scores: Scores,
    abnormal: NDArray[np.bool_],
    scan_ids: NDArray[np.str_],
    resamples: int,
    seed: int,
) -> Scores:
    """Return the AUC of each bootstrap resample of the scans, (resamples,).

    A resample draws as many scans as there are, with replacement. An AUC is NaN if its resample has
    no normal or no abnormal windows. Resamples depend only on seed and scans, so for two scores of
    the same windows the difference of the AUCs is paired.

    Args:
        scores: (N,) scores without NaN; a higher score is more abnormal.
        abnormal: (N,) True where a window is abnormal.
        scan_ids: (N,) the scan of each window.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
    """
    names, scan = np.unique(scan_ids, return_inverse=True)
    draws = _draws(len(names), resamples, seed)
    order = np.argsort(scores, kind="stable")
    scan, abnormal = scan[order], abnormal[order]
    _, starts = np.unique(scores[order], return_index=True)  # where a run of equal scores starts
    return np.array([_weighted_auc(drawn[scan], abnormal, starts) for drawn in draws])


def percentile_interval(values: Scores) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of resampled values; NaN values are left out."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def _interval(resampled: Scores) -> tuple[float | None, float | None]:
    """Return `percentile_interval`; none if no resample counts, or all give the same."""
    defined = resampled[~np.isnan(resampled)]
    alike = len(defined) == 0 or defined.min() == defined.max()
    return (None, None) if alike else percentile_interval(defined)


@lru_cache(maxsize=1)  # callers compare many scores of the same scans, one after another
def _draws(scans: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Return how often each resample draws each scan, (resamples, scans), read-only."""
    even = np.full(scans, 1 / scans)
    draws = np.random.default_rng(seed).multinomial(scans, even, size=resamples)
    draws.setflags(write=False)
    return draws


def _shown(value: float | None, low: float | None, high: float | None, scans: int) -> str:
    if value is None:
        return NOT_DEFINED
    if low is None or high is None:
        return f"{value:.3f} ({scans} {'scan' if scans == 1 else 'scans'}: no interval)"
    return f"{value:.3f} [{low:.3f} {high:.3f}]"


def _weighted_auc(
    weights: NDArray[np.int64], abnormal: NDArray[np.bool_], starts: NDArray[np.intp]
) -> float:
    """Return the AUC of weighted windows, sorted by score; ties count half.

    `starts` holds the first index of each run of equal scores. Returns NaN if a kind weighs 0.
    """
    positive = np.add.reduceat(weights * abnormal, starts)
    negative = np.add.reduceat(weights * ~abnormal, starts)
    pairs = int(positive.sum()) * int(negative.sum())
    if pairs == 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float(positive @ (2 * below + negative)) / (2 * pairs)
