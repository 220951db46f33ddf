"""The score of a bag, and the tails of validation windows and bags."""

import numpy as np
import pytest

from pipeline.common.p_values import RightTail
from pipeline.models.bag_scores import TOP, Tails, bag_score, rounded_up, rows_by_scan


def test_the_rows_of_each_scan_are_those_of_a_search_for_it() -> None:
    scan_ids = np.random.default_rng(0).choice(["b", "a", "c10", "c9"], 1000)
    rows = rows_by_scan(scan_ids)
    assert list(rows) == ["a", "b", "c10", "c9"]
    for name, own in rows.items():
        assert own.tolist() == np.flatnonzero(scan_ids == name).tolist()
    assert rows_by_scan(scan_ids[:0]) == {}


def test_a_bag_s_score_is_of_its_most_suspicious_windows() -> None:
    p_values = np.array([0.5, 1, 0.01, 0.2, 0.1, 0.9, 0.3])
    assert TOP == 5
    assert bag_score(p_values) == pytest.approx(-np.log([0.01, 0.1, 0.2, 0.3, 0.5]).mean())
    assert bag_score(p_values[:2]) == pytest.approx(-np.log(0.5) / 2)
    assert bag_score(p_values[:0]) == 0


@pytest.mark.parametrize("ignored", [[], [1, 2]])
def test_the_tail_of_windows_is_of_normal_ones_and_that_of_bags_of_all(ignored: list[int]) -> None:
    scores, ids = np.array([1.0, 5, 2, 6, 3, 4]), np.array(list("ababab"))
    normal = ~np.isin(np.arange(6), ignored)
    tails = Tails.of(scores, ids, normal)
    expected = RightTail.of(scores[normal])
    np.testing.assert_array_equal(tails.windows.scores, expected.scores)
    p_values = expected.p_values(scores)
    bags = sorted(bag_score(p_values[ids == name]) for name in "ab")
    np.testing.assert_allclose(tails.bags.scores, bags)


def test_all_windows_are_normal_by_default() -> None:
    scores, ids = np.array([1.0, 5, 2, 6]), np.array(list("abab"))
    found, expected = Tails.of(scores, ids), Tails.of(scores, ids, np.full(4, True))
    np.testing.assert_array_equal(found.windows.scores, expected.windows.scores)
    np.testing.assert_array_equal(found.bags.scores, expected.bags.scores)


@pytest.mark.parametrize(("rate", "shown"), [(1 / 3, "0.334"), (0.9, "0.900"), (1, "1.000")])
def test_a_rate_is_rounded_up(rate: float, shown: str) -> None:
    assert rounded_up(rate) == shown
