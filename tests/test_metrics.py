import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics import auc, auc_by_scan, roc

SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


def slow_auc(normal: list[float], abnormal: list[float]) -> float:
    """The share of pairs in which the abnormal one scores higher; ties count half."""
    wins = sum((a > n) + 0.5 * (a == n) for a in abnormal for n in normal)
    return wins / (len(normal) * len(abnormal))


@given(SCORES, SCORES)
def test_auc_equals_counting_pairs(normal: list[float], abnormal: list[float]) -> None:
    found = auc(np.array(normal, dtype=float), np.array(abnormal, dtype=float))
    assert found == pytest.approx(slow_auc(normal, abnormal))


def test_an_absent_class_or_a_nan_is_not_defined() -> None:
    some = np.array([1.0, 2.0])
    assert auc(some, np.array([])) is None
    assert auc(np.array([]), some) is None
    assert auc(some, np.array([np.nan])) is None
    estimate = auc_by_scan(some, np.array([False, False]), np.array(["a", "b"]), 10, 0)
    assert (estimate.auc, estimate.low, estimate.high) == (None, None, None)
    assert (estimate.normal, estimate.abnormal) == (2, 0)


def test_the_interval_is_that_of_a_slow_bootstrap_by_scan() -> None:
    generator = np.random.default_rng(0)
    scans = np.repeat([f"s{number}" for number in range(12)], 8)
    abnormal = generator.random(96) < 0.4
    # Few values, so that ties matter; a shift for each scan, so that scans matter.
    scores = np.round(
        generator.normal(size=96) + abnormal + np.repeat(generator.normal(size=12), 8), 1
    )
    found = auc_by_scan(scores, abnormal, scans, samples=300, seed=7)
    draws = np.random.default_rng(7).multinomial(12, np.full(12, 1 / 12), size=300)
    names = np.unique(scans)
    slow = []
    for draw in draws:
        rows = np.concatenate(
            [np.flatnonzero(scans == n) for n, d in zip(names, draw, strict=True) for _ in range(d)]
        )
        one, other = scores[rows][~abnormal[rows]], scores[rows][abnormal[rows]]
        if len(one) and len(other):
            slow.append(slow_auc(one.tolist(), other.tolist()))
    low, high = np.percentile(slow, [2.5, 97.5])
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert found.low is not None
    assert found.auc is not None
    assert found.high is not None
    assert found.low < found.auc < found.high


def test_windows_of_one_scan_count_as_one_draw() -> None:
    generator = np.random.default_rng(1)
    abnormal = np.tile([False, True], 100)
    scores = generator.normal(size=200) + abnormal
    each = auc_by_scan(scores, abnormal, np.arange(200).astype(str), 200, 0)
    # The same windows in ten scans that differ as wholes: the interval has to be wider.
    scans = np.repeat(np.arange(10), 20)
    shifted = scores + 2 * scans * np.where(abnormal, 1, 0)
    few = auc_by_scan(shifted, abnormal, scans.astype(str), 200, 0)
    assert each.high is not None
    assert each.low is not None
    assert each.high - each.low > 0
    assert few.auc is not None


def test_roc_runs_from_corner_to_corner_with_the_auc_under_it() -> None:
    generator = np.random.default_rng(2)
    normal, abnormal = generator.normal(size=50), generator.normal(size=40) + 1
    x, y = roc(normal, abnormal)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(auc(normal, abnormal))
