"""The AUC of every score for every abnormal class, as a table and as metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.common import terminal
from pipeline.common.metrics import AucEstimate, auc_by_scan
from pipeline.common.names import NORMAL
from pipeline.common.tables import text_table
from pipeline.evaluation.scores import ANOMALY, OVERALL, PCA, WindowScores
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.settings.methods import GRANULOMETRY

SECTIONS = {
    GRANULOMETRY: "-- without a network, without labels",
    PCA: "-- without any model",
}  # in tables

AucTable = dict[str, dict[str, AucEstimate]]  # by score, then by class


def auc_table(test: WindowScores, classes: tuple[str, ...], resamples: int, seed: int) -> AucTable:
    """Return the AUC of each score for each class and overall, against all normal test patches."""
    table: AucTable = {score: {} for score in test.scores}
    # Class by class: `metrics` keeps the resamples of one number of scans.
    cells = [(score, name) for name in (*classes, OVERALL) for score in test.scores]
    for score, name in terminal.progress("AUCs", len(cells), "AUC", cells):
        table[score][name] = _auc(test, score, name, resamples, seed)
    return table


def metrics_of(table: AucTable, test: WindowScores) -> dict[str, Any]:
    """Return the content of details.json, except the blocks `threshold` and `bags`.

    None where a metric is undefined.
    """
    aucs = {score: {name: each.auc for name, each in row.items()} for score, row in table.items()}
    model = table[ANOMALY]
    windows = {name: estimate.abnormal for name, estimate in model.items()}
    return {
        "auc": aucs.pop(ANOMALY),
        "interval": {name: {"low": each.low, "high": each.high} for name, each in model.items()},
        "scans": {name: estimate.scans for name, estimate in model.items()},
        "windows": {**windows, NORMAL: int(test.normal.sum())},
        "other": aucs,
    }


def key_metrics(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of metrics.json: the metrics of `details` that runs are compared by."""
    other = details["other"]
    without_model = [other[name][OVERALL] for name in (PCA, *TRIVIAL_SCORES) if name in other]
    at = details["threshold"]
    bags = details["bags"].get(ANOMALY, {})
    metrics = {
        "auc": details["auc"],
        "best_auc_without_model": max((v for v in without_model if v is not None), default=None),
        "false_alarm_rate": at["false_alarm_rate"],
        "detection_rate": at["detection_rate"][OVERALL],
    }
    if bags:
        metrics |= {
            "bag_auc": bags["auc"]["auc"],
            "bag_auc_control": bags["control"]["auc"],
            "first_look": bags["first_look_1"]["rate"],
            "auc_within_bags": bags["within"]["rate"],
        }
    return metrics


def unmeasurable(test: WindowScores, classes: tuple[str, ...]) -> str:
    """Return why no AUC is defined on the test split, in one line; "" if an AUC is defined."""
    if len(test.labels) == 0:
        return "no window in the test split (scans.test_normal): nothing to measure"
    if test.normal.all():
        scans = "window in the test split" if classes else "scan"
        return f"no abnormal {scans}: nothing to measure"
    if not test.normal.any():
        return "no normal window in the test split (scans.test_normal): nothing to measure"
    return ""


def auc_text(table: AucTable, test: WindowScores, heading: str) -> str:
    """Return `estimates_text` with a heading, and the numbers of normal windows and test scans."""
    scans = len(np.unique(test.scan_ids))
    first, *more = heading.split("\n")
    first += f": {scans} test scans, {int(test.normal.sum())} normal windows"
    return "\n".join([first, *more, estimates_text(table)])


def estimates_text(table: AucTable) -> str:
    """Return a text table: a row per score, a column per class, the number of windows last."""
    rows: list[Sequence[object]] = []
    for score, row in table.items():
        if score in SECTIONS:
            rows.append([SECTIONS[score]])
        rows.append([score, *row.values()])
    estimates = next(iter(table.values()))
    rows.append(["windows", *(estimate.abnormal for estimate in estimates.values())])
    return text_table(["AUC", *estimates], rows)


def estimate_rows(table: AucTable) -> list[dict[str, Any]]:
    """Return the AUC table as rows of a CSV file."""
    return [
        {"score": score, "class": name, **asdict(estimate)}
        for score, row in table.items()
        for name, estimate in row.items()
    ]


def _auc(test: WindowScores, score: str, class_name: str, resamples: int, seed: int) -> AucEstimate:
    abnormal = test.abnormal(class_name)
    used = abnormal | test.normal
    return auc_by_scan(
        test.scores[score][used], abnormal[used], test.scan_ids[used], resamples, seed
    )
