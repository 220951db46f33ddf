from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervision import Detections

from pipeline.common.errors import InputError
from pipeline.common.files import digest
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.scan import ScanEntry
from pipeline.scans.sources import annotated_source
from pipeline.scans.sources.annotated_source import check_reach, check_size, mask_of
from pipeline.scans.sources.folders import EXPECTED, list_files
from pipeline.scans.sources.unlabelled import TAKEN_FOR_NORMAL
from pipeline.scans.sources.yolo import YoloSource
from pipeline.settings.scans import Unannotated
from tests.sources.sets import GUN, Content, write_set

WIDTH, HEIGHT = 30, 20


def boxed(*box: float) -> Detections:
    return Detections(xyxy=np.array([box], dtype=np.float32), class_id=np.array([0]))


@given(data=st.data())
def test_a_box_between_pixels_is_filled(data: st.DataObject) -> None:
    left, right = sorted(data.draw(st.sets(st.integers(-9, 39), min_size=2, max_size=2)))
    top, bottom = sorted(data.draw(st.sets(st.integers(-9, 29), min_size=2, max_size=2)))
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    for row in range(max(top, 0), min(bottom, HEIGHT)):
        for column in range(max(left, 0), min(right, WIDTH)):
            expected[row, column] = True
    if not expected.any():
        with pytest.raises(ValueError, match="a box outside of the image of 30x20"):
            mask_of(boxed(left, top, right, bottom), (WIDTH, HEIGHT))
        return
    found = mask_of(boxed(left, top, right, bottom), (WIDTH, HEIGHT))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.bool_


@given(
    left=st.floats(-9, 29.9),
    top=st.floats(-9, 19.9),
    width=st.floats(0.01, 50),
    height=st.floats(0.01, 50),
)
def test_a_box_across_pixels_is_filled_to_half_a_pixel(
    left: float, top: float, width: float, height: float
) -> None:
    right, bottom = left + width, top + height
    if right <= 0.01 or bottom <= 0.01:
        return
    rows, columns = np.nonzero(mask_of(boxed(left, top, right, bottom), (WIDTH, HEIGHT)))
    for pixels, start, stop, length in (
        (rows, top, bottom, HEIGHT),
        (columns, left, right, WIDTH),
    ):
        assert abs(pixels.min() - np.clip(start, 0, length)) <= 1
        assert abs(pixels.max() + 1 - np.clip(stop, 0, length)) <= 1


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 5, 9, 5), (0, 0, 0, 0)])
def test_a_box_without_area_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a box without area"):
        mask_of(boxed(*box), (WIDTH, HEIGHT))


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((2.5, 3.5, 4.5, 6.5), (3, 6), (2, 4)),  # pixels whose centres are on the lower edge
        ((2.6, 3.4, 4.6, 6.4), (3, 6), (3, 5)),
        ((2.6, 3.1, 2.9, 3.4), (3, 4), (2, 3)),  # no centre: the pixel in the middle
        ((-3, -3, 0.2, 0.2), (0, 1), (0, 1)),
        ((29.8, 19.8, 40, 40), (19, 20), (29, 30)),
        ((-5, -5, 90, 90), (0, 20), (0, 30)),
    ],
)
def test_the_pixels_of_a_box(
    box: tuple[float, ...], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    found = np.nonzero(mask_of(boxed(*box), (WIDTH, HEIGHT)))
    assert [(axis.min(), axis.max() + 1) for axis in found] == [rows, columns]


@pytest.mark.parametrize("box", [(30, 5, 40, 9), (-5, 5, 0, 9), (5, 20, 9, 30), (5, -9, 9, 0)])
def test_a_box_that_only_touches_the_image_is_outside(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"^a box outside of the image of 30x20$"):
        mask_of(boxed(*box), (WIDTH, HEIGHT))


def test_an_object_s_own_mask_is_its_mask() -> None:
    own = np.random.default_rng(0).random((1, HEIGHT, WIDTH)) < 0.5
    found = Detections(xyxy=np.array([[0, 0, 30, 20]]), class_id=np.array([0]), mask=own)
    np.testing.assert_array_equal(mask_of(found, (WIDTH, HEIGHT)), own[0])
    found.mask = own.astype(np.uint8)
    assert mask_of(found, (WIDTH, HEIGHT)).dtype == np.bool_
    found.mask = np.zeros((1, HEIGHT, WIDTH), dtype=np.bool_)
    with pytest.raises(ValueError, match=r"^an empty polygon or mask$"):
        mask_of(found, (WIDTH, HEIGHT))


def test_sizes_must_be_those_of_the_image() -> None:
    check_size((30, 20), (30, 20))
    message = "^annotated as 20x30, but the image is 30x20: annotate the image at this size$"
    with pytest.raises(ValueError, match=message):
        check_size((20, 30), (30, 20))


def test_a_polygon_reaches_ten_times_the_longer_side_at_most() -> None:
    check_reach([-300, 0, 300], (WIDTH, HEIGHT))
    for value in (300.1, -300.1, float("nan")):
        with pytest.raises(ValueError, match=r"^a coordinate far outside of the image"):
            check_reach([1, value], (WIDTH, HEIGHT))


def test_a_listing_has_parts_by_list_then_folder_and_says_what_it_made_of_files(
    tmp_path: Path,
) -> None:
    files: dict[str, Content] = {
        "data.yaml": "names: [gun, cup]", "val/a.png": None, "val/a.txt": f"{GUN}\n{GUN}",
        "val/b.png": None, "val/b.txt": "1 0.5 0.5 0.1 0.1", "val/b.jpg": None, "c/c.png": None,
        "train.txt": "a.png\n", "notes.txt": "of May", "test.txt": "c.png\ngone.png\n",
        "moving.gif": b"GIF8",
    }  # fmt: skip
    classes = ClassMap({"gun": "weapon", "cup": "normal"})
    source = YoloSource(write_set(tmp_path, files), classes, "normal")
    listing = source.listing()
    c, a, b = listing.entries
    assert listing.files == list_files(tmp_path)
    assert a == ScanEntry("val/a", (tmp_path / "val/a.png", tmp_path / "val/a.txt"), ("weapon",),
                          "train", digest(["gun", "gun"]))  # fmt: skip
    assert b == ScanEntry("val/b", (tmp_path / "val/b.jpg", tmp_path / "val/b.txt"), (),
                          "validation", digest(["cup"]))  # fmt: skip
    assert c == ScanEntry("c/c", (tmp_path / "c/c.png",), ())
    assert listing.bad == [
        BadInput(f"{tmp_path}/moving.gif", f"not a format that is read: {EXPECTED}"),
        BadInput(f"{tmp_path}/val/b.png",
                 f"scan id 'val/b' is that of {tmp_path}/val/b.jpg too: rename one"),
    ]  # fmt: skip
    assert listing.names == {"gun", "cup"}
    labels = ("data.yaml", "val/a.txt", "val/b.txt", "train.txt")
    assert listing.annotations == {tmp_path / name for name in labels}
    texts = (tmp_path / name for name in ("notes.txt", "test.txt"))
    assert listing.ignored == dict.fromkeys(texts, "text, but no labels")
    assert listing.notes == {
        TAKEN_FOR_NORMAL: 1,
        f"lists not followed, since a line names no image: {tmp_path}/test.txt": 1,
    }
    scan = source.read(a)
    assert (scan.scan_id, scan.objects, scan.image.shape) == ("val/a", ("gun",) * 2, (40, 50, 3))
    assert [region.class_name for region in scan.regions] == ["weapon"] * 2
    assert source.read(b).objects == ("cup",)
    assert source.read(b).regions == ()
    assert source.classes.meaning("gun") == "weapon"


@pytest.mark.parametrize(("said", "count"), [(None, 2), ("normal", 2), ("bad", 1)])
def test_an_image_without_labels_is_what_the_user_says_or_else_the_format(
    tmp_path: Path, said: Unannotated | None, count: int
) -> None:
    files = {"names.yaml": "names: [gun]", "a.png": None, "a.txt": "0 0.5 0.5 1 1", "b.png": None}
    source = YoloSource(write_set(tmp_path, files), ClassMap({"gun": "gun"}), said)
    assert len(source.listing().entries) == count


def test_more_masks_than_memory_is_meant_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = "0 0.5 0.5 0.2 0.3\n" * 3
    write_set(tmp_path, {"a.png": None, "a.txt": labels, "classes.txt": "gun\n"})
    source = YoloSource(tmp_path, ClassMap({"gun": "gun"}))
    (entry,) = source.listing().entries
    monkeypatch.setattr(annotated_source, "MAX_MASKS", 3 * 50 * 40)
    assert len(source.read(entry).regions) == 3
    monkeypatch.setattr(annotated_source, "MAX_MASKS", 3 * 50 * 40 - 1)
    with pytest.raises(InputError, match=r"a\.png: 3 objects or more on 50x40 pixels, expected 2"):
        source.read(entry)
