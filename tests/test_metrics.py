import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.metrics import (
    AucEstimate,
    RateEstimate,
    auc,
    auc_by_scan,
    percentile_interval,
    rate_by_scan,
    resampled_aucs,
)
from tests.slow_auc import slow_auc

SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


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
    assert (estimate.normal, estimate.abnormal, estimate.scans) == (2, 0, 0)


def test_the_interval_is_that_of_a_slow_bootstrap_by_scan() -> None:
    generator = np.random.default_rng(0)
    scans = np.repeat([f"s{number}" for number in range(12)], 8)
    abnormal = generator.random(96) < 0.4
    # Few values, so that ties matter; a shift for each scan, so that scans matter.
    scores = np.round(
        generator.normal(size=96) + abnormal + np.repeat(generator.normal(size=12), 8), 1
    )
    found = auc_by_scan(scores, abnormal, scans, resamples=300, seed=7)
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


def test_two_scores_of_the_same_windows_get_the_same_draws() -> None:
    generator = np.random.default_rng(0)
    abnormal, scans = generator.random(96) < 0.4, np.repeat(list("abcdefghijkl"), 8)
    scores = np.round(generator.normal(size=96) + abnormal, 1)
    first, same, opposite = (
        resampled_aucs(each, abnormal, scans, resamples=50, seed=3)
        for each in (scores, 2 * scores + 1, -scores)
    )
    assert len(np.unique(first)) > 10
    np.testing.assert_array_equal(same, first)
    np.testing.assert_allclose(opposite, 1 - first)


def test_a_draw_that_lacks_a_kind_is_nan_and_left_out_of_the_interval() -> None:
    scores, abnormal, scans = np.array([1.0, 0.0]), np.array([True, False]), np.array(["a", "b"])
    found = resampled_aucs(scores, abnormal, scans, resamples=20, seed=0)
    assert len(found) == 20
    assert np.isnan(found).any()
    assert percentile_interval(found) == (1, 1)


def test_windows_of_one_scan_count_as_one_draw() -> None:
    """The same scores, but in ten scans that differ as wholes: the interval is wider."""
    generator = np.random.default_rng(1)
    abnormal = np.tile([False, True], 100)
    scan = np.repeat(np.arange(10), 20)
    scores = generator.normal(size=200) + abnormal * np.linspace(-2, 4, 10)[scan]
    each = auc_by_scan(scores, abnormal, np.arange(200).astype(str), 200, 0)
    few = auc_by_scan(scores, abnormal, scan.astype(str), 200, 0)
    assert few.auc == each.auc
    widths = [(one.high or 0) - (one.low or 0) for one in (each, few)]
    assert 0 < 1.5 * widths[0] < widths[1]


@given(SCORES, SCORES, st.lists(st.floats(1e-3, 1e3), min_size=11, max_size=11))
def test_auc_is_the_same_after_a_rising_transform_and_1_less_it_after_a_falling_one(
    normal: list[float], abnormal: list[float], steps: list[float]
) -> None:
    rising = np.cumsum(steps)  # of each of the 11 scores
    normals, abnormals = (np.array(scores) + 5 for scores in (normal, abnormal))
    expected = slow_auc(normal, abnormal)
    assert auc(rising[normals], rising[abnormals]) == pytest.approx(expected)
    assert auc(-rising[normals], -rising[abnormals]) == pytest.approx(1 - expected)


@settings(max_examples=30)
@given(
    scores=st.lists(st.integers(-5, 5), min_size=24, max_size=24),
    steps=st.lists(st.floats(1e-3, 1e3), min_size=11, max_size=11),
)
def test_the_interval_is_the_same_after_a_rising_transform(
    scores: list[int], steps: list[float]
) -> None:
    abnormal, scans = np.arange(24) % 2 > 0, np.repeat(list("abcdef"), 4)
    values, rising = np.array(scores) + 5, np.cumsum(steps)
    before = auc_by_scan(values.astype(float), abnormal, scans, resamples=20, seed=0)
    after = auc_by_scan(rising[values], abnormal, scans, resamples=20, seed=0)
    assert (after.low, after.high) == pytest.approx((before.low, before.high))


def test_draws_that_lack_a_kind_are_left_out_and_an_interval_has_a_width() -> None:
    """Each scan is of one kind; the draws that have both win all pairs."""
    scores, abnormal = np.arange(10.0), np.arange(10) >= 5
    scans = np.array(list("abcdefghij"))
    assert np.isnan(resampled_aucs(scores, abnormal, scans, 2000, 0)).any()
    assert auc_by_scan(scores, abnormal, scans, 2000, 0) == AucEstimate(1.0, None, None, 5, 5, 5)


def test_where_every_draw_lacks_a_kind_there_is_no_interval() -> None:
    scores, abnormal, scans = np.arange(10.0), np.arange(10) >= 5, np.array(list("abcdefghij"))
    assert np.isnan(resampled_aucs(scores, abnormal, scans, resamples=1, seed=588)).all()
    found = auc_by_scan(scores, abnormal, scans, 1, 588)
    assert found == AucEstimate(1.0, None, None, 5, 5, 5)


@pytest.mark.parametrize(
    ("normal", "abnormal", "scans", "has_interval"),
    [("abcde", "fghij", 5, True), ("abcd", "fghij", 4, False), ("abcde", "aaaae", 2, False),
     ("abcde", "eabdc", 5, True), ("abcdefgh", "i", 1, False)],
)  # fmt: skip
def test_there_is_no_interval_for_fewer_than_5_scans_of_a_kind(
    normal: str, abnormal: str, scans: int, has_interval: bool
) -> None:
    scan_ids = np.array(list(normal + abnormal))
    kind = np.arange(len(scan_ids)) >= len(normal)
    scores = np.arange(len(scan_ids), dtype=np.float64) % 7
    found = auc_by_scan(scores, kind, scan_ids, 200, 0)
    assert found.auc is not None
    assert found.scans == scans
    assert [found.low is not None, found.high is not None] == [has_interval] * 2
    shown = (
        f"{found.auc:.3f} [{found.low:.3f} {found.high:.3f}]"
        if has_interval
        else (f"{found.auc:.3f} ({scans} scan{'' if scans == 1 else 's'}: no interval)")
    )
    assert str(found) == shown


def test_a_rate_has_the_interval_of_a_slow_bootstrap_by_scan() -> None:
    generator = np.random.default_rng(4)
    scans = np.repeat(list("abcdefg"), [3, 9, 1, 4, 6, 2, 5])
    flags = generator.random(30) < np.repeat([0.1, 0.9, 0.5, 0.2, 0.3, 0.8, 0.1],
                                             [3, 9, 1, 4, 6, 2, 5])  # fmt: skip
    found = rate_by_scan(flags, scans, resamples=300, seed=7)
    draws = np.random.default_rng(7).multinomial(7, np.full(7, 1 / 7), size=300)
    slow = []
    for draw in draws:
        rows = [row for name, n in zip("abcdefg", draw, strict=True) for _ in range(n)
                for row in np.flatnonzero(scans == name)]  # fmt: skip
        slow.append(flags[rows].mean())
    low, high = np.percentile(slow, [2.5, 97.5])
    assert (found.rate, found.scans) == (flags.mean(), 7)
    assert [found.low, found.high] == pytest.approx([low, high])
    assert low < flags.mean() < high
    assert str(found) == f"{flags.mean():.3f} [{low:.3f} {high:.3f}]"


def test_a_rate_of_few_scans_has_no_interval_and_of_none_is_not_defined() -> None:
    flags = np.array([True, False, False, True])
    found = rate_by_scan(flags, np.array(list("aabc")), 10, 0)
    assert found == RateEstimate(0.5, None, None, 3)
    assert str(found) == "0.500 (3 scans: no interval)"
    none = rate_by_scan(flags[:0], np.array([], dtype=np.str_), 10, 0)
    assert (none, str(none)) == (RateEstimate(None, None, None, 0), "not defined")
