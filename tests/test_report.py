"""The files of a report, read back."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.common.files import read_table
from pipeline.common.names import TEST, VALIDATION
from pipeline.evaluation import report as evaluation_report
from pipeline.evaluation.alarms import ValidationSummary
from pipeline.evaluation.auc_table import AucTable, auc_table, key_metrics
from pipeline.evaluation.bag_metrics import MeasuredBags
from pipeline.evaluation.bags import ScoredBag
from pipeline.evaluation.figure_data import TYPICAL
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.report import (
    describe_results,
    heading_of,
    result_paragraphs,
    write_figures,
    write_report,
)
from pipeline.evaluation.scores import ANOMALY, OVERALL, WindowScores
from pipeline.models.bag_scores import Tails
from pipeline.models.trained_model import Calibration
from pipeline.patches.store import PatchStore
from pipeline.scans.splits import LABELS_USED
from pipeline.settings.params import load_settings
from pipeline.training.criterion import IMPLANT_AUC, LABELLED_AUC
from tests.imports import ROOT
from tests.tiny import EVALUATE

# The threshold is at a scaled score of 0.5.
CALIBRATION = Calibration(minimum=1, maximum=5, threshold=3, false_alarm_rate=0.05)


@pytest.fixture(scope="module")
def test_scores(patches: Path) -> WindowScores:
    """Knives score a little higher than normal windows, and guns much higher."""
    store = PatchStore(patches, TEST)
    shifts = {"normal": 0.0, "knife": 1.0, "gun": 2.0}
    noise = np.random.default_rng(0).normal(size=len(store))
    anomaly = noise + [shifts[label] for label in store.labels]
    return WindowScores(store.labels, store.scan_ids, {ANOMALY: anomaly, "darkness": -anomaly})


@pytest.fixture(scope="module")
def report(
    patches: Path, test_scores: WindowScores, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, AucTable]:
    folder = tmp_path_factory.mktemp("report")
    store = PatchStore(patches, TEST)
    table = write_report(
        folder,
        store,
        test_scores,
        ValidationSummary(CALIBRATION, 0.75, 2),
        EVALUATE,
        "heading",
        MeasuredBags({}, 0.2, 8),
    )
    return folder, table


@pytest.mark.parametrize("name", ["knife", "gun", OVERALL])
def test_the_roc_file_has_the_auc_under_it(report: tuple[Path, AucTable], name: str) -> None:
    folder, table = report
    rows = [row for row in read_table(folder / "roc.csv") if row["class"] == name]
    x, y = (
        np.array([float(row[f"{axis}_positive_rate"]) for row in rows])
        for axis in ("false", "true")
    )
    assert (x[0], x[-1], y[-1]) == (0, 1, 1)
    expected = table[ANOMALY][name].auc
    assert expected is not None
    assert expected > 0.6  # so that it tells the axes apart
    assert np.trapezoid(y, x) == pytest.approx(expected, abs=0.01)


def test_the_histogram_file_has_each_kind_s_mean(
    report: tuple[Path, AucTable], test_scores: WindowScores
) -> None:
    folder, _ = report
    rows = read_table(folder / "histogram.csv")
    for kind, mask in (("normal", test_scores.normal), ("abnormal", ~test_scores.normal)):
        middles, densities = (
            np.array([float(row[name]) for row in rows if row["class"] == kind])
            for name in ("anomaly_score", "density")
        )
        width = middles[1] - middles[0]
        mean = test_scores.scores[ANOMALY][mask].mean()
        assert middles @ densities * width == pytest.approx(mean, abs=width / 2)


def test_metrics_and_tables_say_the_same(
    report: tuple[Path, AucTable], test_scores: WindowScores
) -> None:
    folder, table = report
    metrics = json.loads((folder / "details.json").read_text())
    key = json.loads((folder / "metrics.json").read_text())
    assert key == key_metrics(metrics)
    written = {(row["score"], row["class"]): row for row in read_table(folder / "auc.csv")}
    text = (folder / "table.txt").read_text()
    for name, estimate in table[ANOMALY].items():
        assert metrics["auc"][name] == estimate.auc
        assert metrics["interval"][name] == {"low": estimate.low, "high": estimate.high}
        assert metrics["windows"][name] == estimate.abnormal == test_scores.abnormal(name).sum()
        assert metrics["other"]["darkness"][name] == pytest.approx(1 - (estimate.auc or 0))
        row = written[ANOMALY, name]
        for key, value in asdict(estimate).items():
            assert row[key] == ("" if value is None else str(value))
        assert str(estimate) in text
    alarms = test_scores.scores[ANOMALY] > 0.5
    at = metrics["threshold"]
    assert at["target_false_alarm_rate"] == 0.05
    assert re.search(rf"\nover the threshold +{at['false_alarm_rate']:.3f} ", text)
    assert (at["scaled"], at["false_alarm_rate"]) == (0.5, alarms[test_scores.normal].mean())
    for name, rate in at["detection_rate"].items():
        assert rate == alarms[test_scores.abnormal(name)].mean()


def test_a_report_without_an_auc_keeps_its_heading_and_says_where_to_look(
    patches: Path, tmp_path: Path
) -> None:
    store = PatchStore(patches, VALIDATION)
    test = WindowScores(store.labels, store.scan_ids, {ANOMALY: np.arange(len(store)) / 50})
    heading, nothing = "a heading\nlabels of 7 bags used (model.head)", MeasuredBags({}, 0.2, 8)
    validated = ValidationSummary(CALIBRATION, 0.75, 2)
    write_report(tmp_path, store, test, validated, EVALUATE, heading, nothing)
    text = (tmp_path / "table.txt").read_text()
    assert text.startswith(f"{heading}\nno abnormal window")
    assert f"next: look at {tmp_path}/figures/unusual.png; " in text
    assert (tmp_path / "bags.txt").read_text() == (
        f"{heading}\nno bag has several windows: nothing to measure\n"
    )


def test_a_run_s_description_says_what_on_what_the_result_and_how_to_compare() -> None:
    origin = asdict(load_settings(ROOT / "params.yaml", ROOT / "presets.yaml"))
    metrics = {
        "auc": {"gun": 0.61234, "knife": None, "overall": 0.58},
        "best_auc_without_model": 0.75,
        "false_alarm_rate": 0.12,
        "detection_rate": None,
    }
    what, on_what, result, compare = describe_results(origin, "0123456789", metrics, 0, None).split(
        "\n\n"
    )
    assert what.startswith("**What**: skip_ganomaly, trained on normal scans only")
    assert "generated scans, 64x64 pixels (mode windows), patches 01234567." in on_what
    assert result == (
        "**Result**: AUC on the test split: gun **0.612**, overall **0.580**; the best score "
        "without a model: 0.750. Above the stored threshold: 12.0% of the normal windows."
    )
    assert "press Compare" in compare
    origin["extract"]["mode"] = "whole"
    whole = describe_results(origin, "0123456789", metrics, 0, None)
    assert "scores how suspicious each scan is" in whole
    metrics |= {"auc": {"overall": None}, "best_auc_without_model": None, "false_alarm_rate": None}
    nothing = describe_results(origin, "0123456789", metrics, 0, None).split("\n\n")[2]
    assert nothing == "**Result**: AUC on the test split: none is defined."


def test_labels_that_taught_the_score_are_told_wherever_the_result_is_named() -> None:
    settings = load_settings(ROOT / "params.yaml", ROOT / "presets.yaml")
    outside = replace(settings, scans=replace(settings.scans, normal_windows="outside"))
    assert heading_of(settings, []) == "generated, preset demo, seed 0"
    assert heading_of(settings, ["note"]) == "generated, preset demo, seed 0\nnote"
    assert heading_of(outside, ["note"]).splitlines()[1:] == [LABELS_USED, "note"]
    metrics = {
        "auc": {"overall": 0.9},
        "best_auc_without_model": None,
        "false_alarm_rate": None,
        "detection_rate": None,
    }
    paragraphs = result_paragraphs(asdict(settings), "0123456789", metrics, 7, None)
    assert "trained on normal scans and labelled bags, scores how" in paragraphs[0]
    assert paragraphs[1] == "**Not unsupervised**: labels of 7 bags used (model.head)."
    without = result_paragraphs(asdict(settings), "0123456789", metrics, 0, IMPLANT_AUC)
    assert without[1:] == paragraphs[2:]
    assert not any("label" in paragraph for paragraph in without)
    both = result_paragraphs(asdict(outside), "0123456789", metrics, 7, None)
    assert "trained on the windows outside of threats and labelled bags, scores how" in both[0]
    assert both[1] == f"**Not unsupervised**: {LABELS_USED}; labels of 7 bags used (model.head)."
    alone = result_paragraphs(asdict(outside), "0123456789", metrics, 0, None)
    assert "trained on the windows outside of threats, scores how" in alone[0]
    assert alone[1] == f"**Not unsupervised**: {LABELS_USED}."
    sweep = result_paragraphs(asdict(settings), "0123456789", metrics, 0, LABELLED_AUC)
    assert sweep[1] == (
        "**Not unsupervised**: labels of validation scans ranked the sweep's trials (tune)."
    )


def told_of_figures(monkeypatch: pytest.MonkeyPatch, features: np.ndarray) -> dict[str, Any]:
    """Return what is given from now on: to what picks, by its name, and for each figure drawn."""
    told: dict[str, Any] = {}

    def picks(name: str, picked: object) -> None:
        def pick(*given: Any) -> object:
            told[name] = given
            return picked

        monkeypatch.setattr(evaluation_report, name, pick)

    picks("pick_features", (features, "normal"))
    for name in ("exemplars", "scans", "unusual"):
        picks(f"pick_{name}", name)
    for name in ("roc", "histogram", "tsne", "exemplars", "scans"):
        monkeypatch.setattr(
            evaluation_report, f"draw_{name}", lambda path, *given: told.update({path.name: given})
        )
    return told


INPUTS, TAILS = cast(EvaluationInputs, SimpleNamespace(threshold=0.6)), cast(Tails, "tails")


def test_figures_are_drawn_of_the_settings_and_the_threshold(
    report: tuple[Path, AucTable],
    test_scores: WindowScores,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = np.eye(4, dtype=np.float32)
    told = told_of_figures(monkeypatch, features)
    table, bags = report[1], [cast(ScoredBag, "bag")]
    (tmp_path / "earlier.png").touch()
    settings = replace(EVALUATE, seed=7)
    write_figures(tmp_path, INPUTS, test_scores, table, settings, bags, TAILS)
    colours = {"normal": "blue", "abnormal": "red"}
    assert told == {
        "roc.png": (test_scores, table, 0.6),
        "histogram.png": (test_scores, 0.6, colours),
        "pick_features": (INPUTS, test_scores, 40, 7),
        "tsne.png": (features, "normal", colours, 7),
        "pick_exemplars": (INPUTS, test_scores, 3, 7),
        "exemplars.png": ("exemplars",),
        "pick_scans": (INPUTS, bags, TAILS),
        "scans.png": ("scans", TYPICAL),
    }
    assert not (tmp_path / "earlier.png").exists()


def test_only_figures_with_something_to_show_are_drawn(
    report: tuple[Path, AucTable],
    test_scores: WindowScores,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = told_of_figures(monkeypatch, np.ones((2, 2)))  # equal features have no distances
    normal = WindowScores(np.full(2, "normal"), np.array(["a", "b"]), {ANOMALY: np.arange(2.0)})
    for test, table, special in (
        (test_scores, report[1], "roc.png"),
        (normal, auc_table(normal, (), 5, 0), "unusual.png"),
    ):
        told.clear()
        write_figures(tmp_path, INPUTS, test, table, EVALUATE, [], TAILS)
        drawn = {name for name in told if name.endswith(".png")}
        assert drawn == {special, "histogram.png", "exemplars.png"}
    assert told["pick_unusual"] == (INPUTS, normal, 3)
