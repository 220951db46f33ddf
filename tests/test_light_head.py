"""The light head: its features, and that no window is scored by a head that knew its bag."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.detection import judging, light_head
from experiments.detection.judging import WindowLabels
from experiments.detection.light_head import (
    halves,
    head_scores,
    judged_text,
    sixray_windows,
)
from pipeline.settings.windows import WindowRule
from tests.models.test_granulometry import RADIUS, with_disc


def sheet() -> tuple[np.ndarray, WindowLabels]:
    """Return features (N, 2) with a weak signal, of twelve scans, half of them with threats."""
    rng = np.random.default_rng(0)
    scan_ids = np.repeat([f"{index:02d}" for index in range(12)], 40)
    abnormal = (np.arange(len(scan_ids)) % 4 == 0) & (scan_ids < "06")
    features = rng.normal(0, 1, (len(scan_ids), 2))
    features[abnormal] += 2
    return features, WindowLabels(abnormal, scan_ids)


def test_a_scan_is_in_one_half_and_both_halves_have_both_kinds() -> None:
    _, windows = sheet()
    first, second = halves(windows)
    np.testing.assert_array_equal(first, ~second)
    for half in (first, second):
        own = WindowLabels(windows.abnormal[half], windows.scan_ids[half])
        assert len(own.threat_scans()) == len(own.normal_scans()) == 3
    assert not set(windows.scan_ids[first]) & set(windows.scan_ids[second])


def test_labels_of_a_bag_do_not_decide_its_own_scores() -> None:
    features, windows = sheet()
    before = head_scores(features, windows)
    assert roc_auc_score(windows.abnormal, before) > 0.9
    first, second = halves(windows)
    threats = np.flatnonzero(first & windows.abnormal)
    other = windows.abnormal.copy()
    for scan in np.unique(windows.scan_ids[threats]):  # one threat window of each scan is left
        other[threats[windows.scan_ids[threats] == scan][1:]] = False
    after = head_scores(features, WindowLabels(other, windows.scan_ids))
    np.testing.assert_array_equal(after[first], before[first])
    assert (after[second] != before[second]).all()


def test_windows_of_sixray_are_all_of_threat_scans_and_some_of_others(
    sixray: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(light_head, "PER_SCAN", 2)
    monkeypatch.setattr(light_head, "RULE", WindowRule(size=16, stride=16))
    patches, windows = sixray_windows(sixray)
    assert patches.shape[1:] == (16, 16, 3)
    assert len(patches) == len(windows.abnormal) == len(windows.scan_ids)
    assert windows.threat_scans()
    assert all(windows.of(scan).sum() <= 2 for scan in windows.normal_scans())
    assert all(windows.of(scan).sum() > 2 for scan in windows.threat_scans())


def test_the_head_has_a_row_beside_metal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "SAMPLES", 5)
    scan_ids = np.repeat(["a", "b", "c", "d"], 6)
    abnormal = (scan_ids < "c") & (np.arange(24) % 2 == 0)
    patches = np.stack([with_disc(RADIUS if each else 1) for each in abnormal])
    rows = judged_text(patches, WindowLabels(abnormal, scan_ids)).split("\n")
    found = {row.split()[0]: row.split()[1] for row in rows[1:] if row}
    assert found["metal_amount"] == found["light_head"] == "1.000"
