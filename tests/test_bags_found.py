"""Which bags are found, and where in them, by scores that are known."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from pipeline.common.metrics import AucEstimate, RateEstimate
from pipeline.common.names import TEST, VALIDATION, Patches, Scores
from pipeline.common.p_values import RightTail
from pipeline.evaluation.auc_table import key_metrics
from pipeline.evaluation.bag_metrics import (
    TOP_WINDOWS,
    BagMetrics,
    MeasuredBags,
    average_precision,
    measure,
    measure_all,
    share_of_bags,
)
from pipeline.evaluation.bags import (
    BINS,
    ScoredBag,
    ScorePatches,
    _pixel_histograms,
    scored_bags,
    tails_of,
)
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.scores import ANOMALY, PCA, WindowScores
from pipeline.models.bag_scores import Tails, bag_score
from pipeline.models.trained_model import Calibration
from pipeline.patches.extraction import extract_patches
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import keep_windows, window_origins, window_pixels
from pipeline.scans.catalogue import CatalogueRow
from pipeline.settings.blocks import EvaluateSettings, ExtractSettings
from pipeline.settings.methods import GRANULOMETRY
from tests.arrays import ArraySource, make_set
from tests.darkness import darkness_detector, darkness_inputs, darkness_of
from tests.tiny import EXTRACT

NORMALS = RightTail.of(np.arange(99.0))


def bag(name: str, scores: list[float], threat: str) -> ScoredBag:
    """A bag whose windows are, by a letter each, normal, of a threat, or grazing it."""
    kinds = np.array(list(threat))
    pixels = np.zeros((2, BINS), dtype=np.int64)
    pixels[1, 0] = (kinds != "n").any()
    origins = np.arange(len(scores), dtype=np.int32)[:, None] * np.array([16, 0], dtype=np.int32)
    return ScoredBag(
        name, origins, 16, {"score": np.array(scores)}, kinds == "n", kinds == "t", kinds != "n",
        {"score": pixels},
    )  # fmt: skip


def test_a_share_of_bags_has_wilsons_interval() -> None:
    found = share_of_bags(np.array([True] * 7 + [False]))
    z, share = 1.959963984540054, 7 / 8
    middle = (share + z**2 / 16) / (1 + z**2 / 8)
    half = z * np.sqrt(share * (1 - share) / 8 + z**2 / 256) / (1 + z**2 / 8)
    assert (found.rate, found.scans) == (share, 8)
    assert [found.low, found.high] == pytest.approx([middle - half, middle + half])
    all_of_five, none_of_five = share_of_bags(np.full(5, True)), share_of_bags(np.full(5, False))
    assert all_of_five.low == pytest.approx(1 / (1 + z**2 / 5))
    assert none_of_five.high == pytest.approx(1 - 1 / (1 + z**2 / 5))
    assert share_of_bags(np.full(4, True)) == RateEstimate(1, None, None, 4)
    assert share_of_bags(np.full(0, True)) == RateEstimate(None, None, None, 0)


def test_bags_are_measured() -> None:
    bags = [
        bag("a", [1, 2, 90], "nnt"),  # seen at the first look
        bag("b", [95, 80, 70, 3], "nngt"),  # its threat is below its normals, but one grazes
        bag("c", [5, 4, 3, 2, 1, 0], "nnnnnt"),  # not seen in five looks
        bag("d", [96, 97, 98], "nnn"),
        bag("e", [1, 1, 1], "nnn"),
    ]
    tails = Tails(NORMALS, RightTail.of(np.array([0.1, 0.2, 0.3, 1.4])))
    found = measure(bags, "score", tails, 0.55, resamples=20, seed=0)
    values = {each.scan_id: bag_score(NORMALS.p_values(each.scores["score"])) for each in bags}
    assert values["d"] > values["b"] > 1.4 > values["a"] > 0.1 > values["c"] > values["e"]
    assert found.auc.auc == 0.5  # each of the three is above e, and none above d
    assert found.detection_rate.rate == pytest.approx(2 / 3)
    assert (found.false_alarm_rate.rate, found.false_alarm_rate.scans) == (0.5, 2)
    looks = {number: found.first_look[number].rate for number in TOP_WINDOWS}
    assert looks == {1: pytest.approx(1 / 3), 3: pytest.approx(2 / 3), 5: pytest.approx(2 / 3)}
    assert found.within_bag_auc.rate == pytest.approx((1 + 0 + 0) / 3)


def test_windows_that_overlap_are_one_look() -> None:
    origins = np.array([[0, 0], [5, 0], [10, 0], [16, 0]], dtype=np.int32)
    one = replace(bag("a", [9, 8, 7, 1], "nnnt"), origins=origins)
    tails = Tails(NORMALS, RightTail.of(np.array([0.1])))
    found = measure([one], "score", tails, 0.2, resamples=5, seed=0).first_look
    assert [found[looks].rate for looks in TOP_WINDOWS] == [0, 1, 1]


def test_each_score_is_measured_by_its_own_tails_and_the_seed_of_the_settings() -> None:
    bags = [bag(f"t{n}", [1, 20 * n], "nt") for n in range(6)]
    bags += [bag(f"n{n}", [n, 9 * n], "nn") for n in range(6)]
    bags = [
        replace(
            one,
            scores={"score": one.scores["score"], "low": -one.scores["score"]},
            pixel_histograms=dict.fromkeys(("score", "low"), one.pixel_histograms["score"]),
        )
        for one in bags
    ]
    tails = {
        "score": Tails(NORMALS, RightTail.of(np.array([0.1, 0.2]))),
        "low": Tails(RightTail.of(-np.arange(99.0)), RightTail.of(np.array([0.3, 0.4]))),
    }
    found = measure_all(bags, tails, 0.4, EvaluateSettings(bootstrap=9, seed=3)).metrics
    assert found == {name: measure(bags, name, tails[name], 0.4, 9, 3) for name in tails}
    assert found["low"] != measure(bags, "low", tails["score"], 0.4, 9, 3)
    assert found["low"] != measure(bags, "low", tails["low"], 0.4, 9, 0)


def test_a_bag_whose_p_value_is_the_rate_raises_an_alarm() -> None:
    bags = [bag("a", [99, 99], "nt"), bag("b", [1, 1], "nn")]
    tails = Tails(NORMALS, RightTail.of(np.array([0.5, 1.0, 1.5])))  # so 1/4 is the least p-value
    for rate, detected in ((0.25, 1), (0.24, 0)):
        found = measure_all(bags, {"score": tails}, rate, EvaluateSettings(bootstrap=5))
        assert found.metrics["score"].detection_rate.rate == detected
        assert ("no bag raises an alarm" in found.text()) == (detected == 0)


def test_the_control_leaves_out_every_window_that_touches_a_threat() -> None:
    bags = [bag("a", [1, 80, 90], "ngt"), bag("e", [1, 1], "nn"), bag("f", [2, 2], "nn")]
    tails = Tails(NORMALS, RightTail.of(np.array([0.1, 0.2])))
    found = measure(bags, "score", tails, 0.2, resamples=20, seed=0)
    assert (found.auc.auc, found.control.auc) == (1, 0.25)  # it equals e then, and f is above it


def test_the_control_keeps_windows_that_graze_an_ignored_object() -> None:
    one = replace(bag("a", [80, 90], "nt"), normal=np.array([False, False]))
    tails = Tails(NORMALS, RightTail.of(np.array([0.1])))
    found = measure([one, bag("e", [1, 1], "nn")], "score", tails, 0.2, resamples=5, seed=0)
    assert (found.control.auc, found.control.abnormal) == (1, 1)


def test_a_bag_of_which_nothing_is_left_is_out_of_the_control() -> None:
    bags = [bag("a", [80, 90], "gt"), bag("e", [1, 1], "nn"), bag("b", [90, 50], "tn")]
    tails = Tails(NORMALS, RightTail.of(np.array([0.1, 0.2])))
    found = measure(bags, "score", tails, 0.2, resamples=20, seed=0)
    assert (found.auc.auc, found.control.auc) == (1, 1)
    alone = measure(bags[:2], "score", tails, 0.2, resamples=20, seed=0)
    assert (alone.control.auc, alone.control.abnormal) == (None, 0)


def test_pixels_of_few_bags_with_a_threat_have_no_interval() -> None:
    tails = Tails(NORMALS, RightTail.of(np.array([0.1, 0.2])))
    for threats in (4, 5):
        bags = [bag(f"n{n}", [1, 2], "nn") for n in range(9)]
        bags += [bag(f"t{n}", [1, 2 + n], "nt") for n in range(threats)]
        for one in bags:
            one.pixel_histograms["score"][0, 3] = 10
        found = measure(bags, "score", tails, 0.2, resamples=20, seed=0).pixel_average_precision
        assert (found.low is None, found.scans) == (threats < 5, threats)


def test_average_precision_is_scikit_learn_s() -> None:
    generator = np.random.default_rng(0)
    bins, threat = generator.integers(0, 50, 2000), generator.random(2000) < 0.1
    counts = np.stack([np.bincount(bins[kind], minlength=50) for kind in (~threat, threat)])
    assert average_precision(counts.astype(float)) == pytest.approx(
        average_precision_score(threat, bins)
    )
    assert np.isnan(average_precision(np.ones((2, 3)) * [[1], [0]]))


@pytest.fixture(scope="module")
def inputs(patches: Path, sixray: Path, catalogue: list[CatalogueRow]) -> EvaluationInputs:
    return darkness_inputs(patches, sixray, catalogue)


def by_darkness(some: Patches) -> dict[str, Scores]:
    return {"darkness": darkness_of(some)}


def scored_windows(store: PatchStore, score: ScorePatches = by_darkness) -> WindowScores:
    return WindowScores(store.labels, store.scan_ids, dict(score(store.read(0, len(store)))))


def test_all_windows_of_a_scan_are_scored(inputs: EvaluationInputs, patches: Path) -> None:
    tails = tails_of(scored_windows(PatchStore(patches, VALIDATION)))
    bags = scored_bags(inputs, scored_windows(inputs.store), tails, by_darkness)
    found = {each.scan_id: each for each in bags}
    assert found.keys() == {row.scan_id for row in inputs.scans}
    for row in inputs.scans:
        scan, each = inputs.source.read(row.entry()), found[row.scan_id]
        height, width = scan.image.shape[:2]
        every = window_pixels(
            scan.image, window_origins(height, width, EXTRACT.size, EXTRACT.stride), EXTRACT
        )
        np.testing.assert_allclose(each.scores["darkness"], darkness_of(every))
        cut = keep_windows(scan, EXTRACT)
        assert each.normal.sum() == cut.labels.count("normal")
        assert each.abnormal.sum() == len(cut.labels) - cut.labels.count("normal")
        assert (each.touches & ~each.normal & ~each.abnormal).sum() == cut.grazing
        assert each.has_threat == bool(row.classes)
        threat_pixels = sum(int(region.mask.sum()) for region in scan.regions)
        assert each.pixel_histograms["darkness"][1].sum() == threat_pixels
        assert each.pixel_histograms["darkness"].sum() == height * width


def test_scans_that_extraction_left_out_are_no_bags(inputs: EvaluationInputs) -> None:
    left_out = replace(inputs.scans[0], scan_id="left out")
    more, test = replace(inputs, scans=[left_out, *inputs.scans]), scored_windows(inputs.store)
    found = scored_bags(more, test, tails_of(test), by_darkness)
    assert [one.scan_id for one in found] == [row.scan_id for row in inputs.scans]


def test_a_bag_has_a_threat_even_if_its_windows_graze_it() -> None:
    bags = [bag("a", [1, 2], "ng"), bag("b", [1, 2], "nn"), bag("c", [1, 2], "nt")]
    tails = {"score": Tails(NORMALS, RightTail.of(np.array([0.5, 1.0])))}
    assert measure_all(bags, tails, 0.2, EvaluateSettings(bootstrap=10)).with_threat == {"a", "c"}


@pytest.mark.parametrize(
    ("threat", "heads"),
    [
        ("nnn", ["bags", "false alarms"]),
        ("ntn", ["bags", "AUC", "control", "detected", "false alarms", "first 1", "first 3",
                 "first 5", "within", "pixels"]),
    ],
)  # fmt: skip
def test_the_table_has_no_column_in_which_nothing_is_defined(threat: str, heads: list[str]) -> None:
    bags = [bag("normal", [1, 2, 3], "nnn"), bag("other", [1, 200, 3], threat)]
    tails = {"score": Tails(NORMALS, RightTail.of(np.array([0.5, 1.0])))}
    table = measure_all(bags, tails, 0.2, EvaluateSettings(bootstrap=10)).text().splitlines()
    assert re.split(r"  +", table[0]) == heads
    assert re.split(r"  +", table[1])[0] == "score"
    assert table[-1].endswith(
        "; with 2 validation bags the lowest possible rate is 0.334, so no bag raises an alarm: "
        "add normal scans"
    )
    tails = {"score": Tails(NORMALS, RightTail.of(np.array([0.5])))}
    text = measure_all(bags, tails, 0.2, EvaluateSettings(bootstrap=10)).text()
    assert "; with 1 validation bag the lowest possible rate is 0.5" in text


def test_the_table_of_bags_says_what_needs_no_network() -> None:
    auc, rate = AucEstimate(0.5, None, None, 5, 5, 4), RateEstimate(0.5, None, None, 4)
    looks = dict.fromkeys(TOP_WINDOWS, rate)
    found = BagMetrics(
        auc, auc, rate, rate, looks, within_bag_auc=rate, pixel_average_precision=rate
    )
    metrics = dict.fromkeys((ANOMALY, GRANULOMETRY, PCA), found)
    _, *rows = MeasuredBags(metrics, 0.2, 8).text().splitlines()
    assert [row.split("  ")[0] for row in rows[:5]] == [
        ANOMALY, "-- without a network, without labels", GRANULOMETRY, "-- without any model", PCA,
    ]  # fmt: skip


def test_pixels_of_more_evidence_are_in_higher_bins() -> None:
    evidence = np.log(np.array([[1, 10, 100]], dtype=np.float32))
    threats = np.array([[False, False, True]])
    without, with_threat = _pixel_histograms(evidence, threats, RightTail.of(np.arange(99.0)))
    assert np.flatnonzero(without).tolist() == [0, 499]
    assert np.flatnonzero(with_threat).tolist() == [BINS - 1]


def test_each_score_has_its_own_map(inputs: EvaluationInputs, patches: Path) -> None:
    def score(some: Patches) -> dict[str, Scores]:
        return {**by_darkness(some), "light": 255 - darkness_of(some)}

    tails = tails_of(scored_windows(PatchStore(patches, VALIDATION), score))
    for each in scored_bags(inputs, scored_windows(inputs.store, score), tails, score):
        if each.has_threat:  # which is dark
            of_threat = {name: counts[1] for name, counts in each.pixel_histograms.items()}
            mean = {n: counts @ np.arange(BINS) / counts.sum() for n, counts in of_threat.items()}
            assert mean["darkness"] > 2 * mean["light"]


def test_windows_that_graze_a_threat_have_their_own_scores(tmp_path: Path) -> None:
    rows = make_set(tmp_path)
    rule = ExtractSettings(size=16, stride=4, shard_scans=2, min_window_share=0.5)
    extract_patches(tmp_path / "patches", rows, ArraySource(), rule)
    store = PatchStore(tmp_path / "patches", TEST)
    tested = [row for row in rows if row.split == TEST]
    inputs = EvaluationInputs(
        store, tested, ArraySource(), rule, darkness_detector(), Calibration(0, 1, 0.5, 0.1)
    )
    test = scored_windows(store)
    tails = {"darkness": Tails.of(test.scores["darkness"], store.scan_ids)}
    for each in scored_bags(inputs, test, tails, by_darkness):
        (row,) = (row for row in tested if row.scan_id == each.scan_id)
        image = np.load(row.files[0])
        every = window_pixels(image, window_origins(48, 64, 16, 4), rule)
        np.testing.assert_array_equal(each.scores["darkness"], darkness_of(every))
        grazing = ~each.normal & ~each.abnormal
        assert (grazing.sum() > 3) == bool(row.classes)


def test_pixels_of_normal_bags_count_too() -> None:
    one, other = bag("a", [1, 2], "nt"), bag("b", [1, 2], "nn")
    one.pixel_histograms["score"][:] = 0
    one.pixel_histograms["score"][1, 5] = 10
    other.pixel_histograms["score"][0, 9] = 30
    tails = Tails(NORMALS, RightTail.of(np.array([0.1, 0.2])))
    found = measure([one, other], "score", tails, 0.2, resamples=5, seed=0)
    assert found.pixel_average_precision.rate == pytest.approx(10 / 40)


def test_every_measure_of_bags_has_its_own_name() -> None:
    auc, control = (AucEstimate(value, None, None, 5, 5, 4) for value in (0.1, 0.2))
    detected, alarms, *first, within, pixels = (
        RateEstimate(value / 10, None, None, 4) for value in range(3, 10)
    )
    looks = dict(zip(TOP_WINDOWS, first, strict=True))
    found = BagMetrics(auc, control, detected, alarms, looks, within, pixels)
    measured = MeasuredBags({ANOMALY: found}, 0.2, 8)
    details = measured.details()[ANOMALY]
    assert {name: each.get("auc", each.get("rate")) for name, each in details.items()} == {
        "auc": 0.1, "control": 0.2, "detection_rate": 0.3, "false_alarm_rate": 0.4,
        "first_look_1": 0.5, "first_look_3": 0.6, "first_look_5": 0.7, "within": 0.8, "pixels": 0.9,
    }  # fmt: skip
    head, row, *_ = measured.text().splitlines()
    assert re.split("  +", head) == [
        "bags", "AUC", "control", "detected", "false alarms", "first 1", "first 3", "first 5",
        "within", "pixels",
    ]  # fmt: skip
    cells = [float(cell[:5]) for cell in re.split("  +", row)[1:]]
    assert cells == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    threshold = {"false_alarm_rate": 0, "detection_rate": {"overall": 0}}
    keys = key_metrics({"auc": {}, "other": {}, "threshold": threshold, "bags": measured.details()})
    assert keys == {
        "auc": {}, "best_auc_without_model": None, "false_alarm_rate": 0, "detection_rate": 0,
        "bag_auc": 0.1, "bag_auc_control": 0.2, "first_look": 0.5, "auc_within_bags": 0.8,
    }  # fmt: skip
