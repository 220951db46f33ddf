"""What the figures are made of, with a detector whose scores can be worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.common.names import IGNORED, TEST
from pipeline.evaluation.evaluate import ANOMALY, TestScores
from pipeline.evaluation.showcase import (
    ScanScorer,
    pick_exemplars,
    pick_features,
    pick_scans,
    score_scan,
)
from pipeline.models.detector import Calibration
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import CatalogueRow
from tests.arrays import ArraySource, clutter, save
from tests.darkness import darkness_detector, darkness_of
from tests.tiny import EXTRACT

# A darkness of 20 is 0, of 120 is 1, and the threshold of 70 is 0.5.
CALIBRATION = Calibration(minimum=20, maximum=120, threshold=70, false_alarm_rate=0.05)


def row_of(folder: Path, image: np.ndarray, name: str, *classes: str) -> CatalogueRow:
    save(folder / f"{name}.npy", image)
    return CatalogueRow(name, TEST, classes, (str(folder / f"{name}.npy"),), ("",))


def scorer_of(*rows: CatalogueRow) -> ScanScorer:
    return ScanScorer(rows, ArraySource(), EXTRACT, darkness_detector(), CALIBRATION)


@pytest.fixture(scope="module")
def store(patches: Path) -> PatchStore:
    return PatchStore(patches, TEST)


@pytest.fixture(scope="module")
def numbered(store: PatchStore) -> TestScores:
    """Each test patch has its row for a score."""
    scores = {ANOMALY: np.arange(len(store), dtype=float)}
    return TestScores(store.labels, store.scan_ids, scores)


def test_heat_is_the_mean_score_over_the_threshold(tmp_path: Path) -> None:
    image = clutter(0, 3, 32, 64)
    image[:, 32:] = 255  # no window is cut from air alone
    row = row_of(tmp_path, image, "s")
    heat = score_scan(row, scorer_of(row)).heat
    total, count = np.zeros((2, 32, 64))
    for top in (0, 8, 16):
        for left in (0, 8, 16, 24):
            window = np.s_[top : top + 16, left : left + 16]
            darkness = 255 - image[window].mean()
            total[window] += (darkness - 20) / 100 / 0.5
            count[window] += 1
    np.testing.assert_allclose(heat[:, :40], (total / np.maximum(count, 1))[:, :40], rtol=1e-4)
    assert np.isnan(heat[:, 40:]).all()


def test_a_uniform_scan_at_the_threshold_has_a_heat_of_1(tmp_path: Path) -> None:
    row = row_of(tmp_path, np.full((16, 16, 1), 255 - 70, dtype=np.uint8), "s")
    np.testing.assert_allclose(score_scan(row, scorer_of(row)).heat, 1, rtol=1e-5)


def test_threats_are_shown_and_ignored_objects_are_not(tmp_path: Path) -> None:
    image = clutter(0, 3, 32, 64)
    razor = row_of(tmp_path, image, "a", "straight_razor")
    scan = score_scan(razor, scorer_of(razor))
    assert scan.title == "straight razor (a)"
    np.testing.assert_array_equal(scan.image, image)
    assert np.argwhere(scan.threats).tolist() == [[y, x] for y in range(16) for x in range(32)]
    ignored = row_of(tmp_path, image, "b", IGNORED)
    assert not score_scan(ignored, scorer_of(ignored)).threats.any()


def test_the_first_scored_scan_of_each_combination_of_classes(tmp_path: Path) -> None:
    image = clutter(0, 3, 32, 64)
    kinds = [("knife",), (), ("knife",), ("gun",), (), ("gun", "knife")]
    rows = [row_of(tmp_path, image, f"s{n}", *kind) for n, kind in enumerate(kinds)]
    scored = np.array(["s1", "s2", "s3", "s4", "s5"])  # extraction left out s0
    test = TestScores(np.repeat("normal", 5), scored, {})
    titles = [scan.title for scan in pick_scans(scorer_of(*rows), test)]
    assert titles == ["normal (s1)", "gun (s3)", "gun, knife (s5)", "knife (s2)"]


def test_exemplars_are_normal_and_abnormal_patches_with_their_own_scores(
    store: PatchStore, numbered: TestScores
) -> None:
    found = pick_exemplars(store, numbered, darkness_detector(), count=3, seed=0)
    labels, rows = zip(*(title.split("\n") for title in found.titles), strict=True)
    assert labels == ("normal", "normal", "normal", "gun", "gun", "knife")
    assert len(set(rows)) == 6
    for label, row, patch in zip(labels, rows, found.patches, strict=True):
        at = int(float(row))
        assert numbered.labels[at] == label
        np.testing.assert_array_equal(patch, store.read(at, at + 1)[0])
    np.testing.assert_array_equal(found.reconstructions, 255 - found.patches)


def test_features_are_of_as_many_normal_as_abnormal_patches(
    store: PatchStore, numbered: TestScores
) -> None:
    features, normal = pick_features(store, numbered, darkness_detector(), points=10, seed=0)
    assert (normal.sum(), (~normal).sum()) == (5, 5)
    darkness = darkness_of(store.read(0, len(store)))
    rows = [int(np.abs(darkness - (1 - feature.mean()) * 127.5).argmin()) for feature in features]
    assert len(set(rows)) == 10
    assert numbered.normal[rows].tolist() == normal.tolist()
