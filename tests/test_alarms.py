"""The alarms of the stored threshold, counted by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.common.metrics import rate_by_scan
from pipeline.evaluation.alarms import Alarms, ScanCount, ValidationSummary
from pipeline.evaluation.scores import ANOMALY, WindowScores
from pipeline.models.trained_model import Calibration

# The threshold is at a scaled score of 0.5.
CALIBRATION = Calibration(minimum=1, maximum=5, threshold=3, false_alarm_rate=0.05)
VALIDATED = ValidationSummary(CALIBRATION, criterion=0.75, scans=8)


def alarms(labels: str, scans: str, scores: list[float], *classes: str) -> Alarms:
    """`labels` and `scans` have a letter for each window; n is normal."""
    names = {"n": "normal", "g": "gun", "k": "kitchen_knife"}
    test = WindowScores(
        np.array([names[label] for label in labels], dtype=np.str_),
        np.array(list(scans), dtype=np.str_),
        {ANOMALY: np.array(scores)},
    )
    return Alarms.of(test, VALIDATED, classes, resamples=50, seed=3)


SOME = alarms(
    "nnnnnngggnk", "aabbccddeee", [0.1, 0.6, 0.5, 0.2, 0.9, 0.8, 0.7, 0.1, 0.3, 0.9, 0.2],
    "gun", "kitchen_knife", "bat",
)  # fmt: skip


def test_windows_and_scans_over_the_threshold_are_counted() -> None:
    rates: dict[str, object] = {
        name: (found.rate, found.scans) for name, found in SOME.windows.items()
    }
    assert rates == {
        "normal": (pytest.approx(4 / 7), 4),
        "gun": (pytest.approx(1 / 3), 2),
        "kitchen_knife": (0, 1),
        "bat": (None, 0),
        "overall": (0.25, 2),
    }
    normal, threat = SOME.normal_scans, SOME.threat_scans
    # Not scan b: a score of 0.5 is the threshold, and raises no alarm.
    assert (normal.alarms, normal.scans) == (2, 3)
    assert normal.share == pytest.approx(2 / 3)
    # The alarm of scan e is from a normal window: what is shown is the scan, not the threat.
    assert (threat.alarms, threat.scans) == (2, 2)


def test_a_scan_whose_windows_all_graze_its_threat_is_no_normal_scan() -> None:
    scores = {ANOMALY: np.array([0.9, 0.1, 0.8])}
    test = WindowScores(np.array(["normal"] * 3), np.array(list("abb")), scores)
    found = Alarms.of(test, VALIDATED, ("gun",), 9, 0, with_threat={"b", "left out"})
    assert found.normal_scans == found.threat_scans == ScanCount(1, 1)


def test_the_metrics_are_plain_json() -> None:
    found = SOME.metrics()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == {
        "scaled": 0.5,
        "target_false_alarm_rate": 0.05,
        "false_alarm_rate": pytest.approx(4 / 7),
        "false_alarm_interval": {"low": None, "high": None},
        "detection_rate": {
            "gun": pytest.approx(1 / 3), "kitchen_knife": 0, "bat": None, "overall": 0.25
        },
        "scans_with_alarm": {"normal": pytest.approx(2 / 3), "with_threat": 1},
    }  # fmt: skip


def test_the_text_for_people() -> None:
    assert SOME.text().split("\n") == [
        "share of the windows                        normal                           gun"
        "                kitchen_knife                       overall",
        "over the threshold    0.571 (4 scans: no interval)  0.333 (2 scans: no interval)"
        "  0.000 (1 scan: no interval)  0.250 (2 scans: no interval)",
        "target false-alarm rate: 0.05 of normal windows (train.false_alarm_rate); threshold "
        "0.500, set on 8 validation scans",
        "scans with a window over it: 2 of 3 normal, 2 of 2 with a threat",
    ]


def test_of_five_scans_the_false_alarms_have_an_interval() -> None:
    flags = [0.9, 0.1, 0.1, 0.6, 0.2, 0.1]
    found = alarms("nnnnnn", "abcdee", flags)
    expected = rate_by_scan(np.array(flags) > 0.5, np.array(list("abcdee")), 50, 3)
    assert expected.low is not None
    interval = {"low": expected.low, "high": expected.high}
    assert found.metrics()["false_alarm_interval"] == interval
    assert found.text().endswith("\nscans with a window over it: 2 of 5 normal")


def test_the_intervals_are_of_as_many_samples_as_are_asked_for() -> None:
    scores = {ANOMALY: np.array([0.9, 0.1, 0.9, 0.1, 0.1, 0.1])}
    test = WindowScores(np.array(["normal"] * 6), np.array(list("abcdef")), scores)
    few, many = (Alarms.of(test, VALIDATED, (), resamples, 0) for resamples in (2, 500))
    assert few.windows["normal"].low != many.windows["normal"].low


def test_one_validation_scan_is_one_scan() -> None:
    text = replace(SOME, validated=replace(VALIDATED, scans=1)).text()
    assert "set on 1 validation scan\n" in text


def test_without_windows_nothing_is_defined() -> None:
    found = alarms("", "", [])
    assert found.metrics()["false_alarm_rate"] is None
    assert found.metrics()["scans_with_alarm"] == {"normal": None, "with_threat": None}
    assert found.text().startswith("target false-alarm rate: 0.05 of ")
