"""What the figures are made of, with a detector whose scores can be worked out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.files import file_digest
from pipeline.common.names import IGNORED, TEST, TRAIN, VALIDATION, Patches, Scores
from pipeline.evaluation.bags import ScoredBag, scored_bags
from pipeline.evaluation.figure_data import (
    pick_exemplars,
    pick_features,
    pick_scans,
    pick_unusual,
)
from pipeline.evaluation.figures import ShownScan
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.scores import ANOMALY, WindowScores
from pipeline.models.bag_scores import Tails
from pipeline.models.trained_model import Calibration
from pipeline.patches.extraction import extract_patches
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import CatalogueRow
from pipeline.settings.blocks import ExtractSettings
from tests.arrays import ArraySource, clutter, save
from tests.darkness import darkness_detector, darkness_of

EXTRACT = ExtractSettings(size=16, stride=8, shard_scans=2)

# A darkness of 20 is 0, of 120 is 1, and the threshold of 70 is 0.5.
CALIBRATION = Calibration(minimum=20, maximum=120, threshold=70, false_alarm_rate=0.05)


def row_of(folder: Path, image: np.ndarray, name: str, *classes: str) -> CatalogueRow:
    path = folder / f"{name}.npy"
    save(path, image)
    return CatalogueRow(name, TEST, classes, (str(path),), (file_digest(path),))


def scored(folder: Path, *rows: CatalogueRow) -> tuple[EvaluationInputs, WindowScores]:
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
    return inputs, WindowScores(inputs.store.labels, inputs.store.scan_ids, scores)


def bags_of(
    inputs: EvaluationInputs, test: WindowScores
) -> tuple[EvaluationInputs, list[ScoredBag], Tails]:
    """The scans with the darkness of all their windows; normals' darkness is 20, 21, ... 118."""
    ninety_nine = CALIBRATION.scale(np.arange(20.0, 119))
    tails = Tails.of(ninety_nine, np.arange(99).astype(str))

    def score(patches: Patches) -> dict[str, Scores]:
        return {ANOMALY: CALIBRATION.scale(inputs.detector.score([patches]).anomaly)}

    return inputs, list(scored_bags(inputs, test, {ANOMALY: tails}, score)), tails


def scan_of(folder: Path, row: CatalogueRow) -> ShownScan:
    channels = np.load(row.files[0]).shape[2]
    left_out = row_of(folder, clutter(2, channels), "out")
    (shown,) = pick_scans(*bags_of(*scored(folder, left_out, row)))
    return shown


def inputs_of(store: PatchStore, *rows: CatalogueRow) -> EvaluationInputs:
    return EvaluationInputs(store, rows, ArraySource(), EXTRACT, darkness_detector(), CALIBRATION)


@pytest.fixture(scope="module")
def store(patches: Path) -> PatchStore:
    return PatchStore(patches, TEST)


@pytest.fixture(scope="module")
def numbered(store: PatchStore) -> WindowScores:
    """Each test patch has its row for a score."""
    scores = {ANOMALY: np.arange(len(store), dtype=float)}
    return WindowScores(store.labels, store.scan_ids, scores)


def test_heat_is_the_weighted_mean_of_what_the_windows_are_worth(tmp_path: Path) -> None:
    """The scan has a threat in its upper left quarter, which some windows graze."""
    image = clutter(0, 3, 32, 64) // 8 + np.linspace(60, 260, 64, dtype=np.uint16)[:, None]
    image = image.astype(np.uint8)
    image[:, 32:] = 255  # no window is cut from air alone
    image[20, 3] = 255  # a pixel of air inside
    scan = scan_of(tmp_path, row_of(tmp_path, image, "s", "knife"))
    total, weight = np.zeros((2, 32, 64))
    near = [min(place + 1, 16 - place) for place in range(16)]
    over = []
    for top in (0, 8, 16):
        for left in (0, 8, 16, 24):
            window = np.s_[top : top + 16, left : left + 16]
            darkness = 255 - image[window].mean()
            over.append(darkness > 70)
            p_value = (1 + sum(normal >= darkness for normal in range(20, 119))) / 100
            total[window] += -np.log10(p_value) * np.outer(near, near)
            weight[window] += np.outer(near, near)
    evidence = np.where((image < 240).any(axis=2), total / np.maximum(weight, 1), 0)
    strength = np.clip((evidence - 1) / 2, 0, 1)[:, :, None]  # of p from .1 to .001
    colour = np.array([254, 217, 118]) * (1 - strength) + np.array([189, 0, 38]) * strength
    opacity = 0.75 * np.sqrt(strength)
    expected = image.mean(axis=2, keepdims=True) * (1 - opacity) + colour * opacity
    assert strength.max() > 0.1
    np.testing.assert_allclose(scan.heat_overlay, expected, atol=3)
    assert 0 < sum(over) < 12
    assert scan.title == f"knife (s)\n{sum(over) / 12:.0%} of windows over"


def test_threats_are_shown_and_ignored_objects_are_not(tmp_path: Path) -> None:
    image = clutter(0, 3, 32, 64)
    scan = scan_of(tmp_path, row_of(tmp_path, image, "a", "straight_razor"))
    assert scan.title.startswith("straight razor (a)\n")
    np.testing.assert_array_equal(scan.image, image)
    assert np.argwhere(scan.threats).tolist() == [[y, x] for y in range(16) for x in range(32)]
    ignored = row_of(tmp_path, image, "b", IGNORED)
    assert not scan_of(tmp_path / "b", ignored).threats.any()


def test_a_scan_of_each_kind_has_the_median_share_of_windows_over_the_threshold(
    tmp_path: Path,
) -> None:
    """A scan is as dark as its number says; the darkest are over the threshold everywhere."""
    kinds = {"a": (), "b": (), "c": (), "d": ("gun",), "e": ("knife",), "f": ("gun", "knife")}
    rows = [row_of(tmp_path, clutter(9, 3), "out")]
    for name, columns in zip("abcdef", (64, 0, 24, 8, 8, 8), strict=True):
        image = np.full((48, 64, 3), 220, dtype=np.uint8)  # a darkness of 35, below the threshold
        image[:, :columns] = 100
        rows.append(row_of(tmp_path, image, name, *kinds[name]))
    inputs, test = scored(tmp_path, *rows)
    titles = [scan.title.split("\n")[0] for scan in pick_scans(*bags_of(inputs, test))]
    assert titles == ["normal (c)", "gun (d)", "gun, knife (f)", "knife (e)"]


def test_the_rarest_kinds_are_left_out_but_never_normal(tmp_path: Path) -> None:
    image = clutter(0, 3, 32, 64)
    kinds = [*((f"k{number}",) for number in (0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)), ()]
    rows = [row_of(tmp_path, image, f"s{n:02d}", *kind) for n, kind in enumerate(kinds)]
    out = row_of(tmp_path, image, "out")
    shown = pick_scans(*bags_of(*scored(tmp_path, out, *rows)))
    titles = [scan.title.split(" (")[0] for scan in shown]
    assert titles == ["normal", "k1", "k2", "k3", "k4", "k5"]


def test_exemplars_are_normal_and_abnormal_patches_with_their_own_scores(
    store: PatchStore, numbered: WindowScores
) -> None:
    found = pick_exemplars(inputs_of(store), numbered, count=3, seed=0)
    labels, rows = zip(*(title.split("\n") for title in found.titles), strict=True)
    assert labels == ("normal", "normal", "normal", "gun", "gun", "knife")
    assert len(set(rows)) == 6
    for label, row, patch in zip(labels, rows, found.patches, strict=True):
        at = int(float(row.removesuffix(" over")))
        assert row.endswith(" over") == (at > 0.5)
        assert numbered.labels[at] == label
        np.testing.assert_array_equal(patch, store.read(at, at + 1)[0])
    np.testing.assert_array_equal(found.reconstructions, 255 - found.patches)
    assert (found.around, found.threats) == (None, None)


@pytest.mark.parametrize("count", [1, 5])
def test_every_class_has_a_clear_exemplar_in_its_scan(tmp_path: Path, count: int) -> None:
    """Windows of 16 pixels, 8 apart; the threat fills the 16x32 pixels at the upper left."""
    names = ("gun", "knife", "razor")
    images = {name: clutter(seed, 3, 32, 64) for seed, name in enumerate(("n", *names))}
    rows = [row_of(tmp_path, images["n"], "n")]
    rows += [row_of(tmp_path, images[name], name, name) for name in names]
    inputs, test = scored(tmp_path, row_of(tmp_path, clutter(9, 3), "out"), *rows)
    found = pick_exemplars(inputs, test, count, seed=0)
    labels = [title.split("\n")[0] for title in found.titles]
    expected = (
        ["gun", "knife", "razor"] if count == 1 else ["gun", "gun", "knife", "knife", "razor"]
    )
    assert labels == ["normal"] * count + expected
    assert found.around is not None
    assert found.threats is not None
    for label, patch, around, threats in zip(
        labels, found.patches, found.around, found.threats, strict=True
    ):
        np.testing.assert_array_equal(around[16:32, 16:32], patch)
        assert threats[16:32, 16:32].mean() == (label != "normal")
        assert (around[~threats] == 255).any()  # white outside of the scan
        assert label == "normal" or threats.sum() == 16 * 32
    assert "these of the quarter that the threat covers most" in found.caption
    assert found.caption.endswith("threshold 0.50")


def test_the_most_unusual_patches_do_not_overlap(tmp_path: Path) -> None:
    image = np.full((32, 64, 3), 220, dtype=np.uint8)
    image[:16, :24], image[16:, 40:] = 20, 60
    other = np.full((32, 64, 3), 40, dtype=np.uint8)
    rows = [row_of(tmp_path, picture, name) for picture, name in ((image, "a"), (other, "b"))]
    inputs, test = scored(tmp_path, row_of(tmp_path, clutter(9, 3), "out"), *rows)
    found = pick_unusual(inputs, test, count=10)
    # Of a: one at the upper left, of which all others there overlap; then b's eight; a again.
    assert found.titles[0] == f"a\n{(235 - 20) / 100:.2f} over"
    assert found.titles[1:9] == [f"b\n{(215 - 20) / 100:.2f} over"] * 8
    assert found.titles[9] == f"a\n{(195 - 20) / 100:.2f} over"
    assert found.patches[:, 0, 0, 0].tolist() == [20, *[40] * 8, 60]
    assert "highest scores" in found.caption


def test_the_seed_decides_which_patches_are_shown(
    store: PatchStore, numbered: WindowScores
) -> None:
    inputs = inputs_of(store)
    first, again, other = (pick_exemplars(inputs, numbered, 3, seed).titles for seed in (0, 0, 1))
    assert first == again
    assert set(first[:3]).isdisjoint(other[:3])  # of the normal patches
    assert first[3:] != other[3:]
    points, same, others = (pick_features(inputs, numbered, 10, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(points, same)
    assert not np.array_equal(points, others)


def test_features_are_of_as_many_normal_as_abnormal_patches(
    store: PatchStore, numbered: WindowScores
) -> None:
    features, normal = pick_features(inputs_of(store), numbered, points=10, seed=0)
    assert (normal.sum(), (~normal).sum()) == (5, 5)
    darkness = darkness_of(store.read(0, len(store)))
    rows = [int(np.abs(darkness - (1 - feature.mean()) * 127.5).argmin()) for feature in features]
    assert len(set(rows)) == 10
    assert numbered.normal[rows].tolist() == normal.tolist()
