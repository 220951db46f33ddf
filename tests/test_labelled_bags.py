"""The study of labelled bags: no bag is judged by a head that its labels taught."""

import numpy as np
import pytest

from experiments.detection.judging import WindowLabels
from experiments.detection.labelled_bags import Known, draws, rows, taught


def known() -> Known:
    """Six bags with threats and four without; the second of three terms tells a threat."""
    rng = np.random.default_rng(0)
    scan_ids = np.repeat([f"{index}" for index in range(10)], 30)
    abnormal = (np.arange(300) % 5 == 0) & (scan_ids < "6")
    judged = rng.exponential(size=(300, 3))
    judged[abnormal, 1] += 4
    return Known(rng.exponential(size=(200, 3)), judged, WindowLabels(abnormal, scan_ids))


def test_draws_are_all_or_some_at_random() -> None:
    assert draws(4, 2, 70) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    some = draws(8, 4, 10)
    assert len(set(some)) == 10
    assert some == draws(8, 4, 10)
    assert all(len(set(drawn)) == 4 for drawn in some)
    assert {bag for drawn in some for bag in drawn} == set(range(8))
    assert len(draws(40, 20, 3)) == 3  # of 138 billion
    assert draws(3, 0, 5) == [()]


def test_labelled_bags_teach_and_are_not_judged() -> None:
    given = known()
    scores, windows = taught(given, ["0", "3"])
    assert set(windows.scan_ids) == set("12456789")
    assert len(scores) == len(windows.abnormal) == 240
    kept = ~np.isin(given.windows.scan_ids, ["0", "3"])
    np.testing.assert_array_equal(windows.abnormal, given.windows.abnormal[kept])
    assert np.corrcoef(scores, given.judged[kept, 1])[0, 1] > 0.95


def test_labels_of_other_bags_do_not_count() -> None:
    given = known()
    before, _ = taught(given, ["0", "3"])
    others = given.windows.abnormal & np.isin(given.windows.scan_ids, ["0", "3"])
    hidden = Known(given.normals, given.judged, WindowLabels(others, given.windows.scan_ids))
    after, _ = taught(hidden, ["0", "3"])
    np.testing.assert_array_equal(before, after)


def test_a_row_is_of_all_draws_and_the_first_needs_no_label() -> None:
    given = known()
    without, two = rows(given, [0, 2])
    assert (without[:2], two[:2]) == (["0", "1"], ["2", "15"])
    mean = given.judged.mean(axis=1)
    within = [
        np.mean(mean[own & given.windows.abnormal][:, None] > mean[own & ~given.windows.abnormal])
        for own in map(given.windows.of, "012345")
    ]
    assert float(without[2].split()[0]) == pytest.approx(np.mean(within), abs=1e-3)
    assert float(two[2].split()[0]) > float(without[2].split()[0])
