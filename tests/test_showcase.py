"""What the figures are made of, with a detector whose scores can be worked out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.names import IGNORED, TEST, TRAIN, VALIDATION
from pipeline.evaluation.evaluate import ANOMALY, TestScores
from pipeline.evaluation.figures import ScoredScan
from pipeline.evaluation.showcase import (
    FigureInputs,
    pick_exemplars,
    pick_features,
    pick_scans,
    with_heat,
)
from pipeline.models.detector import Calibration
from pipeline.patches.extraction import extract_patches
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


def scored(folder: Path, *rows: CatalogueRow) -> tuple[FigureInputs, TestScores]:
    """Scans of which extraction cuts all but the first; a window's score is its darkness."""
    channels = np.load(rows[0].files[0]).shape[2]
    normals = [
        replace(row_of(folder, clutter(1, channels), split), split=split)
        for split in (TRAIN, VALIDATION)
    ]
    extract_patches(folder / "patches", [*normals, *rows[1:]], ArraySource(), EXTRACT)
    inputs = inputs_of(PatchStore(folder / "patches", TEST), *rows)
    anomaly = inputs.detector.score(inputs.store.blocks()).anomaly
    scores = {ANOMALY: CALIBRATION.scale(anomaly)}
    return inputs, TestScores(inputs.store.labels, inputs.store.scan_ids, scores)


def scan_of(folder: Path, row: CatalogueRow) -> ScoredScan:
    channels = np.load(row.files[0]).shape[2]
    left_out, before = (row_of(folder, clutter(2, channels), name) for name in ("out", "before"))
    return with_heat(row, *scored(folder, left_out, before, row))


def inputs_of(store: PatchStore, *rows: CatalogueRow) -> FigureInputs:
    threshold = CALIBRATION.scaled_threshold
    return FigureInputs(store, rows, ArraySource(), darkness_detector(), threshold)


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
    heat = scan_of(tmp_path, row).heat
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
    np.testing.assert_allclose(scan_of(tmp_path, row).heat, 1, rtol=1e-5)


def test_threats_are_shown_and_ignored_objects_are_not(tmp_path: Path) -> None:
    image = clutter(0, 3, 32, 64)
    razor = row_of(tmp_path, image, "a", "straight_razor")
    scan = scan_of(tmp_path, razor)
    assert scan.title == "straight razor (a)"
    np.testing.assert_array_equal(scan.image, image)
    assert np.argwhere(scan.threats).tolist() == [[y, x] for y in range(16) for x in range(32)]
    ignored = row_of(tmp_path, image, "b", IGNORED)
    assert not scan_of(tmp_path, ignored).threats.any()


def test_the_first_scored_scan_of_each_combination_of_classes(tmp_path: Path) -> None:
    image = clutter(0, 3, 32, 64)
    kinds = [("knife",), (), ("knife",), ("gun",), (), ("gun", "knife")]
    rows = [row_of(tmp_path, image, f"s{n}", *kind) for n, kind in enumerate(kinds)]
    titles = [scan.title for scan in pick_scans(*scored(tmp_path, *rows))]
    assert titles == ["normal (s1)", "gun (s3)", "gun, knife (s5)", "knife (s2)"]


def test_exemplars_are_normal_and_abnormal_patches_with_their_own_scores(
    store: PatchStore, numbered: TestScores
) -> None:
    found = pick_exemplars(inputs_of(store), numbered, count=3, seed=0)
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
    features, normal = pick_features(inputs_of(store), numbered, points=10, seed=0)
    assert (normal.sum(), (~normal).sum()) == (5, 5)
    darkness = darkness_of(store.read(0, len(store)))
    rows = [int(np.abs(darkness - (1 - feature.mean()) * 127.5).argmin()) for feature in features]
    assert len(set(rows)) == 10
    assert numbered.normal[rows].tolist() == normal.tolist()
