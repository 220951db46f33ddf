import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.catalogue import CatalogueRow
from pipeline.evaluation import (
    ANOMALY,
    TestScores,
    auc_table,
    describe,
    describe_alarms,
    flat_metrics,
    histogram_rows,
    metrics_of,
    roc_rows,
    score_test,
    unmeasurable,
)
from pipeline.models.nets import NetShape
from pipeline.models.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.skip_ganomaly.nets import build_networks
from pipeline.patch_store import PatchStore, read_manifest, write_manifest
from pipeline.report import write_figures, write_report
from pipeline.scoring import Calibration, Detector
from pipeline.settings import EvaluateSettings
from pipeline.showcase import ScanScorer
from pipeline.sources.masks import SIXRAY, MasksSource
from pipeline.splits import TEST, TRAIN, VALIDATION
from pipeline.trivial_scores import TRIVIAL_SCORES
from tests.conftest import EXTRACT, MODEL

CALIBRATION = Calibration(minimum=0, maximum=1, threshold=0.8, false_alarm_rate=0.05)
SETTINGS = EvaluateSettings(
    bootstrap=20, tsne_points=40, exemplars=3, normal_colour="C0", abnormal_colour="C1", seed=0
)


def made_up(classes: tuple[str, ...], count: int = 60) -> TestScores:
    generator = np.random.default_rng(0)
    labels = np.array(("normal", *classes))[generator.integers(0, 1 + len(classes), count)]
    scan_ids = np.array([f"s{number // 10}" for number in range(count)])
    scores = {name: generator.random(count) for name in (ANOMALY, "darkness")}
    return TestScores(labels, scan_ids, scores)


@pytest.fixture(scope="module")
def detector() -> Detector:
    shape = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=5)
    return Detector(SkipGanomalyScorer(build_networks(shape, 0), MODEL))


def empty_store(patches: Path, folder: Path) -> PatchStore:
    """The same set with nothing in its test part."""
    manifest = read_manifest(patches)
    manifest["splits"][TEST]["shards"] = []
    write_manifest(folder / "patches", manifest)
    return PatchStore(folder / "patches", TEST)


def test_every_class_stands_against_all_normal_windows() -> None:
    test = made_up(("gun", "knife"))
    table = auc_table(test, ("gun", "knife"), samples=10, seed=0)
    for name in ("gun", "knife"):
        used = (test.labels == name) | (test.labels == "normal")
        expected = roc_auc_score(test.labels[used] == name, test.scores[ANOMALY][used])
        assert table[ANOMALY][name].auc == pytest.approx(expected)
    expected = roc_auc_score(test.labels != "normal", test.scores["darkness"])
    assert table["darkness"]["overall"].auc == pytest.approx(expected)


def test_a_class_without_windows_is_not_defined_and_breaks_nothing() -> None:
    test = made_up(("gun",))
    classes = ("gun", "knife")
    table = auc_table(test, classes, samples=10, seed=0)
    metrics = json.loads(json.dumps(metrics_of(table, test, CALIBRATION), allow_nan=False))
    assert metrics["auc"]["knife"] is None
    assert metrics["interval"]["knife"] == {"low": None, "high": None}
    assert metrics["threshold"]["detection_rate"]["knife"] is None
    assert metrics["windows"]["knife"] == 0
    assert "not defined" in describe(table, test, "heading")
    assert {row["class"] for row in roc_rows(test, classes)} == {"gun", "overall"}


def test_rates_at_the_stored_threshold() -> None:
    test = made_up(("gun",))
    metrics = metrics_of(auc_table(test, ("gun",), 10, 0), test, CALIBRATION)
    alarms = test.scores[ANOMALY] > 0.8
    assert metrics["threshold"]["false_alarm_rate"] == alarms[test.labels == "normal"].mean()
    assert metrics["threshold"]["detection_rate"]["gun"] == alarms[test.labels == "gun"].mean()


def test_histograms_are_densities() -> None:
    rows = list(histogram_rows(made_up(("gun",))))
    middles = sorted({row["anomaly_score"] for row in rows})
    width = middles[1] - middles[0]
    for kind in ("normal", "abnormal"):
        total = sum(row["density"] for row in rows if row["class"] == kind)
        assert total * width == pytest.approx(1)


def test_names_of_flat_metrics() -> None:
    assert flat_metrics({"auc": {"gun": 0.5, "knife": None}, "n": 3}) == {
        "auc/gun": 0.5,
        "auc/knife": None,
        "n": 3,
    }


@pytest.mark.parametrize(
    ("labels", "classes", "reason", "alarms"),
    [
        ("nn", (), "no abnormal scan: ", "normal: 1 of 2 windows (50.0%) are over the stored"),
        ("nn", ("gun",), "no abnormal window in the test part: ", "normal: 1 of 2 windows"),
        ("gg", ("gun",), "no normal window in the test part (scans.test_normal): ", "gun: 1 of 2"),
        ("", (), "no window in the test part (scans.test_normal): ", ""),
        ("ng", ("gun",), "", ""),
    ],
)
def test_why_nothing_can_be_measured(
    labels: str, classes: tuple[str, ...], reason: str, alarms: str
) -> None:
    names = np.array([{"n": "normal", "g": "gun"}[label] for label in labels], dtype=np.str_)
    scores = {ANOMALY: np.array([0.1, 0.9])[: len(names)]}
    test = TestScores(names, np.array(["s"] * len(names), dtype=np.str_), scores)
    assert unmeasurable(test, classes) == (reason and f"{reason}nothing to measure")
    found = auc_table(test, classes, 10, 0)[ANOMALY]["overall"].auc
    assert (found is None) == bool(reason)
    if reason:
        said = describe_alarms(test, CALIBRATION, classes)
        assert said.startswith(alarms)
        assert said.count("\n") == bool(alarms)


@pytest.mark.parametrize("split", [TEST, VALIDATION, "empty"])  # validation: no abnormal window
def test_the_whole_report(
    split: str,
    patches: Path,
    sixray: Path,
    catalogue: list[CatalogueRow],
    detector: Detector,
    tmp_path: Path,
) -> None:
    store = PatchStore(patches, split) if split != "empty" else empty_store(patches, tmp_path)
    test = score_test(store, detector, CALIBRATION, PatchStore(patches, TRAIN))
    assert set(test.scores) == {ANOMALY, "residual", "latent", "pca", *TRIVIAL_SCORES}
    table = write_report(tmp_path, store, test, CALIBRATION, SETTINGS, "heading")
    rows = [row for row in catalogue if row.split == split]
    scorer = ScanScorer(
        rows, MasksSource(sixray, SIXRAY, stretched=True), EXTRACT, detector, CALIBRATION
    )
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "of_an_earlier_evaluation.png").touch()
    write_figures(tmp_path / "figures", store, test, table, scorer, SETTINGS)
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    drawn = {"histogram", "tsne", "exemplars", "scans"}
    assert figures == {TEST: {"roc", *drawn}, VALIDATION: drawn, "empty": set()}[split]
    said = {TEST: "AUC ", VALIDATION: "no abnormal window", "empty": "no window"}[split]
    assert (tmp_path / "table.txt").read_text().splitlines()[1].startswith(said)
    for name in ("roc.csv", "histogram.csv", "metrics.json"):
        assert (tmp_path / name).exists()
    with (tmp_path / "auc.csv").open() as file:
        found = {(row["score"], row["class"]): row["auc"] for row in csv.DictReader(file)}
    expected = table[ANOMALY]["gun"].auc
    assert found[ANOMALY, "gun"] == ("" if expected is None else str(expected))
