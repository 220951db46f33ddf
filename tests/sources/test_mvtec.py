from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.sources.folders import list_files
from pipeline.scans.sources.mvtec import MVTEC, MvtecSource
from tests.sources.sets import Content, write_set

CLASSES = ClassMap({"good": "normal", "hole": "gun", "dirt": "ignore"})
EMPTY = np.zeros((40, 50, 1), dtype=np.uint8)


def mask(*boxes: tuple[slice, slice], value: int = 255) -> np.ndarray:
    found = EMPTY.copy()
    for rows, columns in boxes:
        found[rows, columns] = value
    return found


WHOLE = mask((slice(None), slice(None)))


def source_of(folder: Path, files: dict[str, Content]) -> MvtecSource:
    return MvtecSource(write_set(folder, files), CLASSES)


def test_every_part_of_a_mask_is_an_object_of_the_defect_s_folder(tmp_path: Path) -> None:
    boxes = (slice(2, 5), slice(3, 9)), (slice(20, 30), slice(40, 50))
    files: dict[str, Content] = {
        "Train/good/0.png": None, "val/good/0.png": None, "test/good/0.png": None,
        "test/dirt/0.png": None, "test/hole/0.png": None, "test/hole/deep/0.png": None,
        "ground_truth/hole/0_mask.png": mask(*boxes, value=1), "ground_truth/hole/deep/0.png":
        WHOLE, "ground_truth/dirt/0.png": WHOLE, "ground_truth/good/0_mask.png": EMPTY,
    }  # fmt: skip
    source = source_of(tmp_path, files)
    listing = source.listing()
    assert [(entry.scan_id, entry.classes, entry.part) for entry in listing.entries] == [
        ("Train/good/0", (), "train"),
        ("test/dirt/0", (), "test"),
        ("test/good/0", (), "test"),
        ("test/hole/0", ("gun",), "test"),
        ("test/hole/deep/0", ("gun",), "test"),
        ("val/good/0", (), "validation"),
    ]
    truth = tmp_path / "ground_truth"
    own = [entry.files[1:] for entry in listing.entries if entry.files[1:]]
    masks = ("dirt/0.png", "hole/0_mask.png", "hole/deep/0.png")
    assert own == [(truth / name,) for name in masks]
    assert (listing.files, listing.bad) == (list_files(tmp_path), [])
    assert listing.names == {"good", "hole", "dirt"}
    assert listing.annotations == {path for path in truth.rglob("*") if path.is_file()}
    scans = [source.read(entry) for entry in listing.entries]
    assert [scan.objects for scan in scans] == [(), ("dirt",), (), ("hole",) * 2, ("hole",), ()]
    (dirt,) = scans[1].regions  # ignored, so the windows that it covers are no normal ones
    assert (dirt.class_name, bool(dirt.mask.all())) == (IGNORED, True)
    for region, box in zip(scans[3].regions, boxes, strict=True):
        np.testing.assert_array_equal(region.mask, mask(box)[:, :, 0] > 0)


@pytest.mark.parametrize(
    ("files", "bad", "reason"),
    [
        ({"test/hole/1.png": None}, "test/hole/1.png",
         "a defect without a mask: expected {}/ground_truth/hole/1_mask.png"),
        ({"test/hole/x/1.png": None}, "test/hole/x/1.png",
         "a defect without a mask: expected {}/ground_truth/hole/x/1_mask.png"),
        ({"train/hole/1.png": None, "ground_truth/hole/1.png": WHOLE}, "train/hole/1.png",
         "a defect without a mask: expected {}/ground_truth/hole/1_mask.png"),
        ({"test/good/1.png": None, "ground_truth/good/1_mask.png": WHOLE}, "test/good/1.png",
         "in good/, but {}/ground_truth/good/1_mask.png is not an empty mask: move the image"),
        ({"test/good/1.png": None, "ground_truth/good/1_mask.png": "no image"}, "test/good/1.png",
         "in good/, but {}/ground_truth/good/1_mask.png is not an empty mask: move the image"),
        ({"ground_truth/hole/1.png": WHOLE}, "ground_truth/hole/1.png",
         "a mask without an image: add the image, or remove the mask"),
        ({"1.png": None}, "1.png", "an image outside of train/<class>, test/<class>"),
        ({"test/1.png": None}, "test/1.png", "an image outside of train/<class>, test/<class>"),
        ({"more/good/1.png": None}, "more/good/1.png",
         "an image outside of train/<class>, test/<class>"),
        ({"test/good/0.jpg": None}, "test/good/0.png",
         "scan id 'test/good/0' is that of {}/test/good/0.jpg too: rename one"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_and_nothing_else_is(
    tmp_path: Path, files: dict[str, Content], bad: str, reason: str
) -> None:
    good: dict[str, Content] = {"train/good/0.png": None, "test/good/0.png": None}
    listing = source_of(tmp_path, {**good, **files}).listing()
    named = [item for item in listing.bad if item.file == f"{tmp_path}/{bad}"]
    assert named == [BadInput(f"{tmp_path}/{bad}", reason.format(tmp_path))]
    assert [entry.scan_id for entry in listing.entries] == ["test/good/0", "train/good/0"]
    assert len(listing.bad) == 1 + ("train/hole/1.png" in files)  # whose mask is no training's


def test_a_test_part_of_another_name_has_its_masks(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        "train/good/0.png": None,
        "testing/hole/1.png": None,
        "ground_truth/hole/1.png": WHOLE,
    }
    listing = source_of(tmp_path, files).listing()
    assert [(entry.scan_id, entry.classes) for entry in listing.entries] == [
        ("testing/hole/1", ("gun",)), ("train/good/0", ())
    ]  # fmt: skip


def test_two_masks_of_one_name_are_named(tmp_path: Path) -> None:
    files: dict[str, Content] = {"test/hole/1.png": None, "ground_truth/hole/1.png": WHOLE}
    listing = source_of(tmp_path, {**files, "ground_truth/hole/1_mask.png": WHOLE}).listing()
    assert listing.entries == []
    assert [item.reason for item in listing.bad][:2] == [
        "one of 2 masks with the same name: keep one"
    ] * 2


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (EMPTY, "an empty mask of a defect: put its image into good/"),
        (WHOLE[1:], "annotated as 50x39, but the image is 50x40: annotate the image at this size"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(tmp_path: Path, own: np.ndarray, reason: str) -> None:
    source = source_of(tmp_path, {"test/hole/1.png": None, "ground_truth/hole/1_mask.png": own})
    (entry,) = source.listing().entries
    with pytest.raises(InputError, match=rf"ground_truth/hole/1_mask\.png: {reason}$"):
        source.read(entry)


def test_every_defect_is_a_class_of_its_own_name(tmp_path: Path) -> None:
    files = {"test/hole/1.png": None, "ground_truth/hole/1_mask.png": WHOLE}
    source = MvtecSource(write_set(tmp_path, files), MVTEC)
    assert [source.classes.meaning(name) for name in ("hole", "good")] == ["hole", "normal"]
    with pytest.raises(InputError, match="no meaning for hole in"):
        MvtecSource(tmp_path, ClassMap({"good": "normal"})).listing()
