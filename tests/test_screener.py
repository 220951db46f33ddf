"""Scores of new scans, with a detector whose scores can be worked out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.p_values import RightTail
from pipeline.models.bag_scores import Tails, bag_score
from pipeline.models.detector import Detector
from pipeline.patches.windows import window_origins, window_pixels
from pipeline.screening import image_screener as screening
from pipeline.screening.file_screener import FileScreener
from pipeline.screening.image_screener import ImageScreener
from pipeline.screening.new_scans import NewScan
from pipeline.screening.records import ScreenedFile
from pipeline.screening.regions import coco, regions_over
from pipeline.settings.methods import WITHOUT_NETWORKS, MethodName
from pipeline.settings.windows import WindowRule
from tests.arrays import clutter
from tests.darkness import darkness_detector, darkness_of
from tests.models.methods import METHODS, method_named, settings_of
from tests.models.plain import SHAPE, some_batch
from tests.tiny import write_image
from tests.tiny_model import make_model

RULE = WindowRule(size=16, stride=8)
NORMALS = RightTail.of(np.linspace(100, 200, 400))  # a window's score is its darkness
TAILS = Tails(NORMALS, RightTail.of(np.array([0.5, 1.0, 3.0, 5.0])))
SCREENER = ImageScreener(darkness_detector(), 3, RULE, TAILS)


def with_two_dark_places() -> np.ndarray:
    """A bright scan with air on its right side, and two dark places."""
    image = clutter(0, 3, 48, 80) // 4 + 90
    image[4:20, 6:22] = 60
    image[30:46, 40:56] = 40
    image[:, 64:] = 255
    return image


def test_p_values_are_those_of_the_windows() -> None:
    image = with_two_dark_places()
    found = SCREENER.screen(image)
    origins = window_origins(48, 80, 16, 8)
    origins = origins[origins[:, 1] < 64]  # the others are air
    p_values = NORMALS.p_values(darkness_of(window_pixels(image, origins, RULE)))
    assert found.windows == len(origins)
    expected = TAILS.bags.p_values(np.array([bag_score(p_values)]))[0]
    assert found.p_value == pytest.approx(expected, rel=1e-5)
    assert found.score == pytest.approx(bag_score(p_values), rel=1e-5)
    for look in found.looks:
        row = np.flatnonzero((origins == (look.top, look.left)).all(axis=1))[0]
        darkness = darkness_of(image[None, look.top : look.top + 16, look.left : look.left + 16])
        assert look.because == f"darkness {darkness[0]:.1f}"
        assert look.p_value == pytest.approx(p_values[row], rel=1e-5)
        assert (look.width, look.height) == (16, 16)


def test_the_darkest_places_are_to_be_looked_at_first_and_do_not_overlap() -> None:
    first, second, third = SCREENER.screen(with_two_dark_places()).looks
    assert (first.top, first.left) == (32, 40)
    assert (second.top, second.left) in ((0, 8), (8, 8))
    assert first.p_value <= second.p_value <= third.p_value


def test_of_places_darker_than_every_normal_the_darkest_is_first() -> None:
    image = with_two_dark_places()
    image[0:24, 0:24], image[24:48, 32:56] = 50, 30  # of both, p is the least there is
    first, second, _ = SCREENER.screen(image).looks
    assert first.p_value == second.p_value == pytest.approx(1 / 401)
    assert (first.top, first.left) in ((24, 32), (24, 40), (32, 32), (32, 40))
    assert (second.top, second.left) in ((0, 0), (0, 8), (8, 0), (8, 8))


def test_evidence_is_the_windows_and_none_in_air() -> None:
    image = np.full((48, 64, 3), 150, dtype=np.uint8)
    image[:, 32:] = 255
    image[:16, :16] = 60
    evidence = SCREENER.screen(image).evidence
    # The pixel at the upper left corner is in one window, which is all dark.
    expected = -np.log10(NORMALS.p_values(np.array([195.0])))[0]
    assert evidence[0, 0] == pytest.approx(expected, rel=1e-4)
    assert np.isnan(evidence[:, 32:]).all()
    assert not np.isnan(evidence[:, :32]).any()


def test_windows_are_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    image = with_two_dark_places()
    expected = SCREENER.screen(image)
    monkeypatch.setattr(screening, "BLOCK", 7)
    found = SCREENER.screen(image)
    assert (found.p_value, found.looks) == (expected.p_value, expected.looks)
    np.testing.assert_array_equal(found.evidence, expected.evidence)


def test_a_scan_of_air_alone_is_not_suspicious() -> None:
    found = SCREENER.screen(np.full((32, 32, 3), 255, dtype=np.uint8))
    assert (found.windows, found.looks, found.p_value) == (0, (), 1.0)
    assert np.isnan(found.evidence).all()


@pytest.mark.parametrize("name", [*METHODS, *WITHOUT_NETWORKS])
def test_every_method_screens_a_scan_of_air_alone(name: MethodName) -> None:
    networks = method_named(name).build_networks(SHAPE, 0)
    scorer = method_named(name).scorer(networks, settings_of(name))
    scorer.fit([some_batch()])
    detector = Detector(scorer)
    white = np.full((32, 32, 3), 255, dtype=np.uint8)
    found = ImageScreener(detector, 3, RULE, TAILS).screen(white)
    assert (found.windows, found.looks, found.p_value) == (0, (), 1.0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((48, 64, 1), "1 channels, but the model is of scans with 3: train a model on scans of th"),
        ((12, 64, 3), "a scan of 64x12 pixels is smaller than a window of 16x16: "),
    ],
)
def test_a_scan_that_does_not_fit_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        SCREENER.screen(np.zeros(shape, dtype=np.uint8))


def test_a_whole_scan_is_one_window() -> None:
    whole = ImageScreener(darkness_detector(), 3, WindowRule(mode="whole", size=16), TAILS)
    image = np.full((40, 60, 3), 100, dtype=np.uint8)
    found = whole.screen(image)
    p_value = NORMALS.p_values(np.array([155.0]))[0]
    (look,) = found.looks
    assert (look.left, look.top, look.width, look.height) == (0, 0, 60, 40)
    assert look.p_value == pytest.approx(p_value)
    assert (found.evidence == np.float32(-np.log10(look.p_value))).all()


def test_regions_are_the_connected_places_over_the_threshold() -> None:
    evidence = np.full((30, 40), np.nan, dtype=np.float32)
    evidence[2:28, 2:38] = 1.0
    evidence[4:10, 5:15] = 2.5
    evidence[20:25, 30:33] = 3.0
    evidence[12, 12] = 2.9  # a single pixel has no outline
    first, second = regions_over(evidence, 2.0)
    assert (first.box, first.area, first.evidence) == ((30, 20, 3, 5), 15, 3.0)
    assert (second.box, second.area, second.evidence) == ((5, 4, 10, 6), 60, 2.5)
    corners = {tuple(second.outline[i : i + 2]) for i in range(0, len(second.outline), 2)}
    assert corners == {(5, 4), (5, 9), (14, 9), (14, 4)}


def test_a_region_has_the_area_and_the_evidence_of_its_own_pixels() -> None:
    evidence = np.zeros((20, 20), np.float32)
    evidence[2:12, 2:4] = evidence[10:12, 4:12] = 2.5  # an L
    evidence[3:6, 7:10] = 4.0  # apart, but inside of its box
    high, bent = regions_over(evidence, 2.0)
    assert (high.evidence, bent.evidence, bent.box) == (4.0, 2.5, (2, 2, 10, 10))
    assert (high.area, bent.area) == (9, 36)


def test_each_annotation_has_a_number_of_its_own_and_each_image_its_size() -> None:
    evidence = np.zeros((30, 40), np.float32)
    evidence[4:10, 5:15] = evidence[20:25, 5:15] = 2.5
    regions = tuple(regions_over(evidence, 2.0))
    files = [ScreenedFile(name, "1", 40, 30, 0.5, 9, regions=regions) for name in ("a", "b")]
    found = coco(files)
    assert [one["id"] for one in found["annotations"]] == [1, 2, 3, 4]
    assert [one["image_id"] for one in found["annotations"]] == [1, 1, 2, 2]
    assert {(one["width"], one["height"]) for one in found["images"]} == {(40, 30)}


def test_regions_are_annotations_of_coco() -> None:
    evidence = np.zeros((30, 40), dtype=np.float32)
    evidence[4:10, 5:15] = 2.5
    regions = tuple(regions_over(evidence, 2.0))
    files = [
        ScreenedFile("a.png", "1", 40, 30, 0.5, 9),
        ScreenedFile("b.png", "2", reason="cannot be read"),
        ScreenedFile("sub/c.png", "3", 40, 30, 0.1, 9, regions=regions),
    ]
    found = coco(files)
    assert [(image["id"], image["file_name"]) for image in found["images"]] == [
        (1, "a.png"),
        (2, "sub/c.png"),
    ]
    (annotation,) = found["annotations"]
    assert (annotation["image_id"], annotation["category_id"]) == (2, 1)
    assert (annotation["bbox"], annotation["area"]) == ([5, 4, 10, 6], 60)
    assert (annotation["segmentation"], annotation["score"]) == ([regions[0].outline], 2.5)
    assert annotation["iscrowd"] == 0
    assert found["categories"] == [{"id": 1, "name": "suspicious"}]


def test_regions_and_sizes_are_those_of_the_scan(tmp_path: Path) -> None:
    model = make_model()
    calibration = replace(model.calibration, false_alarm_rate=0.1)
    file_screener = FileScreener.of(replace(model, calibration=calibration), None, tmp_path / "out")
    assert file_screener.threshold == pytest.approx(1)
    path = write_image(tmp_path / "a.png", clutter(0, 3, 48, 80))
    found = file_screener.screen(NewScan("a.png", path), "")
    assert (found.width, found.height) == (80, 48)
    assert found.windows > 5
