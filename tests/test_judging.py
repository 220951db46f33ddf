"""How scores are judged, against slow ways of saying the same."""

from pathlib import Path

import numpy as np
import pytest

from experiments.detection.judging import (
    WindowLabels,
    auc_within_scans,
    bag_auc,
    cross_auc,
    first_look,
    require_labels,
    scores_text,
    threat_bags_found,
)
from pipeline.common.errors import InputError
from pipeline.common.metrics import percentile_interval, resampled_aucs
from pipeline.common.names import LABELLED_VALIDATION, TRAIN
from pipeline.patches.store import PatchStore
from tests.slow_auc import slow_auc

SCAN_IDS = np.repeat([f"s{number}" for number in range(12)], 8)


def windows_and_scores() -> tuple[WindowLabels, np.ndarray]:
    """12 scans of 8 windows, the last 4 of them without a threat; few values, so ties matter."""
    generator = np.random.default_rng(0)
    abnormal = (generator.random(96) < 0.4) & (np.arange(96) < 64)
    shifts = np.repeat(generator.normal(size=12), 8)
    return WindowLabels(abnormal, SCAN_IDS), np.round(
        generator.normal(size=96) + abnormal + shifts, 1
    )


def test_within_scans_no_shift_of_a_whole_scan_counts() -> None:
    windows, scores = windows_and_scores()
    shifted = scores + np.repeat(np.arange(12.0), 8) ** 2
    assert auc_within_scans(shifted, windows) == pytest.approx(auc_within_scans(scores, windows))
    by_hand = []
    for scan in windows.threat_scans():
        rows = np.flatnonzero(windows.of(scan))
        pairs = [
            (scores[a] > scores[n]) + 0.5 * (scores[a] == scores[n])
            for a in rows
            for n in rows
            if windows.abnormal[a] and not windows.abnormal[n]
        ]
        by_hand.append(np.mean(pairs))
    assert auc_within_scans(scores, windows) == pytest.approx(np.mean(by_hand))
    assert auc_within_scans(scores, WindowLabels(np.zeros(96, dtype=bool), SCAN_IDS)) is None


def test_bags_are_found_above_what_5_percent_of_normal_ones_reach() -> None:
    scan_ids = np.repeat([f"n{number:02d}" for number in range(40)] + ["t0", "t1", "t2"], 2)
    scores = np.zeros(86)
    scores[:80:2] = np.arange(40)  # the highest of each normal scan
    scores[80:] = [38, 0, 37, 37, 39, 0]
    windows = WindowLabels(np.arange(86) >= 80, scan_ids)
    assert threat_bags_found(scores, windows, top=1) == pytest.approx(1 / 3)  # above 38
    assert threat_bags_found(scores, windows, top=2) == pytest.approx(2 / 3)  # means above 19
    assert (
        threat_bags_found(scores[:80], WindowLabels(windows.abnormal[:80], scan_ids[:80]), 1)
        is None
    )


def test_across_scans_threats_are_compared_with_scans_without_any() -> None:
    windows, scores = windows_and_scores()
    threats = scores[windows.abnormal].tolist()
    assert cross_auc(scores, windows) == pytest.approx(slow_auc(scores[64:].tolist(), threats))
    assert cross_auc(scores[:64], WindowLabels(windows.abnormal[:64], SCAN_IDS[:64])) is None


def test_bags_are_compared_by_their_highest_windows_and_without_their_threats() -> None:
    windows, scores = windows_and_scores()

    def tops(scans: list[str], kept: np.ndarray) -> list[float]:
        return [float(np.mean(sorted(scores[windows.of(s) & kept])[-5:])) for s in scans]

    every = np.ones(96, dtype=bool)
    for control, kept in ((False, every), (True, ~windows.abnormal)):
        expected = slow_auc(tops(windows.normal_scans(), every), tops(windows.threat_scans(), kept))
        assert bag_auc(scores, windows, control=control) == pytest.approx(expected)


def test_the_control_is_without_bags_that_hold_threats_alone() -> None:
    windows, scores = windows_and_scores()
    of_first = windows.of("s0")
    whole = WindowLabels(windows.abnormal | of_first, SCAN_IDS)
    rest = WindowLabels(windows.abnormal[~of_first], SCAN_IDS[~of_first])
    expected = bag_auc(scores[~of_first], rest, control=True)
    assert bag_auc(scores, whole, control=True) == expected is not None


def test_the_first_look_is_at_the_highest_windows_of_each_scan_that_do_not_overlap() -> None:
    columns = [0, 32, 64, 96, 0, 8, 32, 64]
    origins = np.array([[0, column] for column in columns], dtype=np.int32)
    scan_ids = np.repeat(["a", "b"], 4)
    abnormal = np.array([0, 0, 1, 0, 0, 1, 0, 0], dtype=bool)
    windows = WindowLabels(abnormal, scan_ids, origins, size=16)
    scores = np.array([4.0, 3, 2, 1, 4, 3, 2, 1])
    # In b the threat's window overlaps a higher one, so nobody looks at it.
    assert [first_look(scores, windows, looks) for looks in (1, 2, 3)] == [0, 0, 0.5]
    scores[5] = 9
    assert first_look(scores, windows, 1) == 0.5
    assert first_look(scores, WindowLabels(abnormal, scan_ids), 1) is None


def test_the_table_has_a_row_for_each_score_with_its_differences_from_those_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("experiments.detection.judging.SAMPLES", 5)
    windows, scores = windows_and_scores()
    text = scores_text({"first": scores, "second": -scores / 2}, windows, ["second"])
    assert text.split("\n") == [
        "AUC                                     less second  within  cross  first 1  first 3  "
        "bag AUC  control  bags, max  top 5",
        "first   0.728 [0.740 0.797]  +0.457 [+0.479 +0.594]    0.83   0.76        -        -     0"
        ".75     0.53       0.25   0.38",
        "second  0.272 [0.203 0.260]  +0.000 [+0.000 +0.000]    0.17   0.24        -        -     0"
        ".31     0.34       0.12   0.00",
        "27 windows with a threat, 69 normal",
        "8 scans with a threat, 4 without",
    ]
    normal, threat = scores[~windows.abnormal], scores[windows.abnormal]
    assert slow_auc(normal.tolist(), threat.tolist()) == pytest.approx(0.728, abs=5e-4)
    resampled = resampled_aucs(scores, windows.abnormal, windows.scan_ids, resamples=5, seed=0)
    assert percentile_interval(resampled) == pytest.approx((0.740, 0.797), abs=5e-4)
    found = [threat_bags_found(scores, windows, top) for top in (1, 5)]
    assert found == [0.25, 0.375]


def test_shares_that_are_not_defined_are_dashes_in_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("experiments.detection.judging.SAMPLES", 5)
    windows, scores = windows_and_scores()
    threats = np.arange(96) < 64  # of the scans with one
    windows = WindowLabels(windows.abnormal[threats], windows.scan_ids[threats])
    assert scores_text({"first": scores[threats]}, windows, []).split("\n") == [
        "AUC                         within  cross  first 1  first 3  bag AUC  control  "
        "bags, max  top 5",
        "first  0.699 [0.704 0.753]    0.83      -        -        -        -        -  "
        "        -      -",
        "27 windows with a threat, 37 normal",
        "8 scans with a threat, 0 without",
    ]


def test_a_part_without_one_of_the_kinds_is_refused(patches: Path) -> None:
    require_labels(PatchStore(patches, LABELLED_VALIDATION))
    store = PatchStore(patches, TRAIN)
    message = rf": {len(store)} normal and 0 abnormal windows in train, expected some of bo"
    with pytest.raises(InputError, match=message):
        require_labels(store)
