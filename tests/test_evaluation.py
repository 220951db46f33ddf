import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.baselines import without_model
from pipeline.common.metrics import AucEstimate, auc
from pipeline.common.names import TEST, TRAIN, VALIDATION
from pipeline.evaluation import scores as scoring
from pipeline.evaluation.alarms import Alarms, ValidationSummary
from pipeline.evaluation.auc_table import (
    auc_table,
    auc_text,
    estimate_rows,
    key_metrics,
    metrics_of,
    unmeasurable,
)
from pipeline.evaluation.bag_metrics import MeasuredBags, measure_all
from pipeline.evaluation.bags import scored_bags, tails_of
from pipeline.evaluation.curves import histogram, histogram_rows, roc, roc_rows
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.principal_components import PrincipalComponents
from pipeline.evaluation.report import write_figures, write_report
from pipeline.evaluation.scores import (
    ANOMALY,
    PatchScorer,
    WindowScores,
    detector_without_networks,
    score_store,
)
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.models.detector import Detector
from pipeline.models.methods.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.nets import NetShape
from pipeline.models.trained_model import Calibration
from pipeline.patches.manifest import read_manifest, write_manifest
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.tracking.runs import flat_metrics
from tests.darkness import darkness_detector
from tests.tiny import EVALUATE, EXTRACT, MODEL

CALIBRATION = Calibration(minimum=0, maximum=1, threshold=0.8, false_alarm_rate=0.05)


def made_up(classes: tuple[str, ...], count: int = 60) -> WindowScores:
    generator = np.random.default_rng(0)
    labels = np.array(("normal", *classes))[generator.integers(0, 1 + len(classes), count)]
    scan_ids = np.array([f"s{number // 10}" for number in range(count)])
    scores = {name: generator.random(count) for name in (ANOMALY, "darkness")}
    return WindowScores(labels, scan_ids, scores)


@pytest.fixture(scope="module")
def detector() -> Detector:
    shape = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=5)
    return Detector(SkipGanomalyScorer(build_networks(shape, 0), MODEL))


def every_score(detector: Detector, patches: Path, calibration: Calibration) -> PatchScorer:
    components = PrincipalComponents.fit(PatchStore(patches, TRAIN))
    return PatchScorer(detector, calibration, components)


def empty_store(patches: Path, folder: Path) -> PatchStore:
    """The same set with nothing in its test split."""
    manifest = read_manifest(patches)
    manifest["splits"][TEST]["shards"] = []
    write_manifest(folder / "patches", manifest)
    return PatchStore(folder / "patches", TEST)


def test_a_class_without_windows_is_not_defined_and_breaks_nothing() -> None:
    test = made_up(("gun",))
    classes = ("gun", "knife")
    table = auc_table(test, classes, resamples=10, seed=0)
    metrics = json.loads(json.dumps(metrics_of(table, test), allow_nan=False))
    assert metrics["auc"]["knife"] is None
    assert metrics["interval"]["knife"] == {"low": None, "high": None}
    assert metrics["windows"]["knife"] == 0
    assert "not defined" in auc_text(table, test, "heading")
    assert {row["class"] for row in roc_rows(test, classes)} == {"gun", "overall"}


@pytest.mark.parametrize(
    ("labels", "only"), [([], False), (["normal"], True), (["normal", "gun"], False)]
)
def test_whether_all_windows_are_normal(labels: list[str], only: bool) -> None:
    assert WindowScores(np.array(labels), np.array(labels), {}).only_normal is only


def test_the_key_metrics_are_those_that_runs_are_compared_by() -> None:
    row = {"gun": 0.9, "overall": 0.6}
    details = {
        "auc": {"gun": 0.5, "overall": 0.7},
        "other": dict.fromkeys(("pca", *TRIVIAL_SCORES), row)
        | {"darkness": {"gun": 0.2, "overall": 0.65}}
        | {name: {"overall": 0.99} for name in ("latent", "granulometry")},
        "threshold": {"false_alarm_rate": 0.1, "detection_rate": {"gun": 0.3, "overall": 0.2}},
        "bags": {},
    }
    assert key_metrics(details) == {
        "auc": {"gun": 0.5, "overall": 0.7},
        "best_auc_without_model": 0.65,
        "false_alarm_rate": 0.1,
        "detection_rate": 0.2,
    }
    nothing = dict.fromkeys(row)
    unmeasured = {"other": dict.fromkeys(("pca", *TRIVIAL_SCORES), nothing)}
    assert key_metrics({**details, **unmeasured})["best_auc_without_model"] is None


def test_names_of_flat_metrics() -> None:
    assert flat_metrics({"m": 2, "auc": {"gun": 0.5, "knife": None}, "n": 3}) == {
        "m": 2,
        "auc/gun": 0.5,
        "auc/knife": None,
        "n": 3,
    }


@pytest.mark.parametrize(
    ("labels", "classes", "reason"),
    [
        ("nn", (), "no abnormal scan: "),
        ("nn", ("gun",), "no abnormal window in the test split: "),
        ("gg", ("gun",), "no normal window in the test split (scans.test_normal): "),
        ("", (), "no window in the test split (scans.test_normal): "),
        ("ng", ("gun",), ""),
    ],
)
def test_why_nothing_can_be_measured(labels: str, classes: tuple[str, ...], reason: str) -> None:
    names = np.array([{"n": "normal", "g": "gun"}[label] for label in labels], dtype=np.str_)
    scores = {ANOMALY: np.array([0.1, 0.9])[: len(names)]}
    test = WindowScores(names, np.array(["s"] * len(names), dtype=np.str_), scores)
    assert unmeasurable(test, classes) == (reason and f"{reason}nothing to measure")
    assert test.only_normal == (labels == "nn")
    found = auc_table(test, classes, 10, 0)[ANOMALY]["overall"].auc
    assert (found is None) == bool(reason)


@pytest.mark.slow
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
    every = every_score(detector, patches, CALIBRATION)
    test = score_store(store, every)
    assert set(test.scores) == {ANOMALY, "residual", "latent", "pca", *TRIVIAL_SCORES}
    rows = [row for row in catalogue if row.split == split]
    source = MasksSource(sixray, SIXRAY, stretched=True)
    inputs = EvaluationInputs(store, rows, source, EXTRACT, detector, CALIBRATION)
    validation = score_store(PatchStore(patches, VALIDATION), every)
    tails = tails_of(validation)
    bags = list(scored_bags(inputs, test, tails, every))
    measured = measure_all(bags, tails, 0.2, EVALUATE)
    assert set(measured.metrics) == (set(test.scores) if split != "empty" else set())
    table = write_report(
        tmp_path,
        store,
        test,
        ValidationSummary(CALIBRATION, 0.75, 2),
        EVALUATE,
        "heading",
        measured,
    )
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "of_an_earlier_evaluation.png").touch()
    write_figures(tmp_path / "figures", inputs, test, table, EVALUATE, bags, tails[ANOMALY])
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    drawn = {"histogram", "exemplars", "scans"}
    expected = {TEST: {"roc", "tsne", *drawn}, VALIDATION: {"unusual", *drawn}, "empty": set()}
    assert figures == expected[split]
    said = {TEST: "AUC ", VALIDATION: "no abnormal window", "empty": "no window"}[split]
    lines = (tmp_path / "table.txt").read_text().splitlines()
    assert lines[1].startswith(said)
    known = "implant_auc 0.750 (AUC of validation windows against copies with a piece of another "
    assert lines[2].startswith(known) == (split != TEST)
    assert any(line.startswith("next: ") for line in lines) == (split == VALIDATION)
    for name in ("roc.csv", "histogram.csv", "metrics.json"):
        assert (tmp_path / name).exists()
    with (tmp_path / "auc.csv").open() as file:
        found = {(row["score"], row["class"]): row["auc"] for row in csv.DictReader(file)}
    gun = table[ANOMALY]["gun"].auc
    assert found[ANOMALY, "gun"] == ("" if gun is None else str(gun))


def test_the_intervals_of_a_report_are_of_the_seed_of_its_settings(
    patches: Path, tmp_path: Path
) -> None:
    test, store = made_up(("gun", "knife"), count=90), PatchStore(patches, TEST)
    test.labels[test.scan_ids == "s1"] = "normal"
    validated = ValidationSummary(CALIBRATION, 0.75, 2)
    tables = []
    for seed in (5, 6):
        settings, bags = replace(EVALUATE, seed=seed), MeasuredBags({}, 0.2, 2, frozenset({"s1"}))
        tables.append(write_report(tmp_path, store, test, validated, settings, "heading", bags))
        assert tables[-1] == auc_table(test, ("gun", "knife"), 20, seed)
        details = json.loads((tmp_path / "details.json").read_text())
        alarms = Alarms.of(test, validated, ("gun", "knife"), 20, seed, {"s1"})
        assert details["threshold"] == alarms.metrics()
    assert tables[0] != tables[1]


def small_test() -> WindowScores:
    """Four normal windows, two guns and a knife in three scans, with scores known by heart."""
    labels = np.array(["normal", "gun", "normal", "knife", "normal", "gun", "normal"])
    scan_ids = np.array(["a", "a", "a", "b", "b", "c", "c"])
    anomaly = np.array([0.1, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6])
    return WindowScores(labels, scan_ids, {ANOMALY: anomaly, "pca": -anomaly})


def estimate(value: float | None, abnormal: int) -> AucEstimate:
    if value is None:
        return AucEstimate(None, None, None, 4, abnormal, 0)
    if abnormal == 2:
        return AucEstimate(value, None, None, 4, abnormal, 2)
    return AucEstimate(value, value - 0.25, value + 0.125, 4, abnormal, 5)


SMALL_TABLE = {
    ANOMALY: {
        "gun": estimate(0.875, 2),
        "bat": estimate(None, 0),
        "overall": estimate(0.75, 3),
    },
    "pca": {"gun": estimate(0.25, 2), "bat": estimate(None, 0), "overall": estimate(0.5, 3)},
}


def test_the_table_has_the_auc_of_each_score_for_each_class() -> None:
    table = auc_table(small_test(), ("gun", "knife"), resamples=9, seed=0)
    found = {
        (score, name): (round(one.auc or -1, 9), one.scans, one.normal, one.abnormal)
        for score, row in table.items()
        for name, one in row.items()
    }
    assert found == {
        (ANOMALY, "gun"): (7 / 8, 2, 4, 2),
        (ANOMALY, "knife"): (0.5, 1, 4, 1),
        (ANOMALY, "overall"): (0.75, 3, 4, 3),
        ("pca", "gun"): (1 / 8, 2, 4, 2),
        ("pca", "knife"): (0.5, 1, 4, 1),
        ("pca", "overall"): (0.25, 3, 4, 3),
    }


def test_the_metrics_are_these() -> None:
    found = metrics_of(SMALL_TABLE, small_test())
    assert found == {
        "auc": {"gun": 0.875, "bat": None, "overall": 0.75},
        "interval": {
            "gun": {"low": None, "high": None},
            "bat": {"low": None, "high": None},
            "overall": {"low": 0.5, "high": 0.875},
        },
        "scans": {"gun": 2, "bat": 0, "overall": 5},
        "windows": {"gun": 2, "bat": 0, "overall": 3, "normal": 4},
        "other": {"pca": {"gun": 0.25, "bat": None, "overall": 0.5}},
    }


def test_the_table_for_people() -> None:
    lines = auc_text(SMALL_TABLE, small_test(), "A heading").split("\n")
    assert lines == [
        "A heading: 3 test scans, 4 normal windows",
        "AUC                                            gun          bat              overall",
        "anomaly_score         0.875 (2 scans: no interval)  not defined  0.750 [0.500 0.875]",
        "-- without any model",
        "pca                   0.250 (2 scans: no interval)  not defined  0.500 [0.250 0.625]",
        "windows                                          2            0                    3",
    ]


def test_the_table_keeps_each_line_of_its_heading_and_says_what_needs_no_network() -> None:
    other = SMALL_TABLE["pca"]
    table = {ANOMALY: SMALL_TABLE[ANOMALY], "granulometry": other, "pca": other}
    lines = auc_text(table, small_test(), "A heading\nlabels of 7 bags used").split("\n")
    assert lines[:2] == ["A heading: 3 test scans, 4 normal windows", "labels of 7 bags used"]
    assert [line.split("  ")[0] for line in lines[3:]] == [
        ANOMALY, "-- without a network, without labels", "granulometry", "-- without any model",
        "pca", "windows",
    ]  # fmt: skip


def test_the_rows_of_the_table() -> None:
    rows = estimate_rows(SMALL_TABLE)
    assert len(rows) == 6
    assert rows[1] == {
        "score": ANOMALY, "class": "bat", "auc": None, "low": None, "high": None,
        "normal": 4, "abnormal": 0, "scans": 0,
    }  # fmt: skip
    assert [(row["score"], row["class"]) for row in rows[3:]] == [
        ("pca", "gun"),
        ("pca", "bat"),
        ("pca", "overall"),
    ]


def test_curves_have_200_points_and_the_areas_of_the_table() -> None:
    rows = list(roc_rows(small_test(), ("bat", "gun")))
    assert [row["class"] for row in rows] == ["gun"] * 200 + ["overall"] * 200
    for name, expected in (("gun", 7 / 8), ("overall", 0.75)):
        curve = [row for row in rows if row["class"] == name]
        x, y = ([row[f"{kind}_positive_rate"] for row in curve] for kind in ("false", "true"))
        assert (x[0], x[-1], y[-1]) == (0, 1, 1)
        assert np.trapezoid(y, x) == pytest.approx(expected, abs=0.01)
    anomaly = np.arange(3.0)
    abnormal = WindowScores(np.array(["gun"] * 3), np.array(["a"] * 3), {ANOMALY: anomaly})
    assert list(roc_rows(abnormal, ("gun",))) == []


def test_histograms_are_of_the_scores_of_each_kind() -> None:
    rows = list(histogram_rows(small_test()))
    assert [row["class"] for row in rows] == ["normal"] * 50 + ["abnormal"] * 50
    low, high = np.percentile([0.1, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6], [0.1, 99.9])
    edges = np.linspace(low, high, 51)
    middles = (edges[1:] + edges[:-1]) / 2
    np.testing.assert_allclose([row["anomaly_score"] for row in rows], np.tile(middles, 2))
    found: dict[str, list[float]] = {"normal": [], "abnormal": []}
    for row in rows:
        if row["density"]:
            found[row["class"]].append(row["anomaly_score"])
    np.testing.assert_allclose(found["normal"], [0.1, 0.2, 0.4, 0.6], atol=0.01)
    np.testing.assert_allclose(found["abnormal"], [0.3, 0.5, 0.9], atol=0.01)
    normal = WindowScores(np.array(["normal"] * 3), np.array(["a"] * 3), {ANOMALY: np.arange(3.0)})
    assert {row["class"] for row in histogram_rows(normal)} == {"normal"}


def test_a_histogram_of_equal_scores_is_one_bin() -> None:
    test = WindowScores(np.array(["normal"] * 3), np.array(["a"] * 3), {ANOMALY: np.full(3, 0.5)})
    edges, densities = histogram(test)
    assert densities["normal"].max() * (edges[1] - edges[0]) == pytest.approx(1)


def test_every_patch_is_scored_by_the_model_and_without_it(
    patches: Path, detector: Detector
) -> None:
    store, normals = PatchStore(patches, TEST), PatchStore(patches, TRAIN)
    calibration = Calibration(minimum=1, maximum=3, threshold=2, false_alarm_rate=0.05)
    test = score_store(store, every_score(detector, patches, calibration))
    pixels = store.read(0, len(store))
    plain = detector.score([pixels])
    expected = {
        ANOMALY: (plain.anomaly - 1) / 2,
        **plain.terms,
        "pca": PrincipalComponents.fit(normals).residual(pixels),
        **{name: score(pixels) for name, score in TRIVIAL_SCORES.items()},
    }
    assert list(test.scores) == list(expected)
    for name, scores in expected.items():
        np.testing.assert_allclose(test.scores[name], scores, rtol=1e-5, err_msg=name)
    assert test.labels.tolist() == store.labels.tolist()
    assert test.scan_ids.tolist() == store.scan_ids.tolist()


def test_roc_runs_from_corner_to_corner_with_the_auc_under_it() -> None:
    generator = np.random.default_rng(2)
    normal, abnormal = generator.normal(size=50), generator.normal(size=40) + 1
    x, y = roc(normal, abnormal)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(auc(normal, abnormal))


def test_the_method_without_networks_scores_dark_windows_high(patches: Path) -> None:
    normals, test = PatchStore(patches, TRAIN), PatchStore(patches, TEST)
    components = PrincipalComponents.fit(normals)
    calibration, other = Calibration(0, 255, 100, 0.1), detector_without_networks(normals)
    every = PatchScorer(darkness_detector(), calibration, components, other)
    found, normal = score_store(test, every).scores, test.is_normal()
    measured = auc(found["granulometry"][normal], found["granulometry"][~normal])
    assert measured is not None
    assert measured > 0.9
    np.testing.assert_allclose(without_model(test, normals)["pca"], found["pca"])


def test_of_many_normals_the_method_without_networks_has_some_spread_over_all(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "MAX_REFERENCE_NORMALS", 3)
    normals = PatchStore(patches, TRAIN)
    rows = [0, (len(normals) - 1) // 2, len(normals) - 1]
    found = detector_without_networks(normals)
    expected = found.features(np.concatenate([normals.read(row, row + 1) for row in rows]))
    np.testing.assert_array_equal(found.scorer.normals, expected)
