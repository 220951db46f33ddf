"""What becomes of images without labels, and of labels without an image."""

from pathlib import Path

import pytest

from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.scan import Listing
from pipeline.scans.sources.labelled_set import looks_like_labels
from pipeline.scans.sources.yolo import YoloSource
from tests.sources.sets import GUN, Content, write_set

BASE: dict[str, Content] = {"images/a.png": None, "labels/a.txt": GUN, "data.yaml": "names: [gun]"}
ADVICE = "set scans.unannotated to normal if they hold no threat"


def listed(folder: Path, files: dict[str, Content]) -> Listing:
    return YoloSource(write_set(folder, {**BASE, **files}), ClassMap({"gun": "gun"})).listing()


def names(listing: Listing) -> list[str]:
    return [entry.scan_id for entry in listing.entries]


def test_an_empty_text_is_one_of_labels_in_their_folder_and_prose_elsewhere(tmp_path: Path) -> None:
    notes: dict[str, Content] = {"notes/empty.txt": "", "notes/may.txt": "of May"}
    listing = listed(tmp_path, {**notes, "labels/gone.txt": ""})
    gone = f"{tmp_path}/labels/gone.txt"
    assert listing.bad == [
        BadInput(gone, "labels of no image, or of one with other labels: rename or remove it")
    ]
    ignored = {tmp_path / name: "text, but no labels" for name in notes}
    assert listing.ignored == ignored


def test_images_without_labels_are_told_what_to_do(tmp_path: Path) -> None:
    write_set(tmp_path, {**BASE, "images/b.png": None, "images/c.png": None})
    source = YoloSource(tmp_path, ClassMap({"gun": "gun"}), "bad")
    what = f"2 images without annotation, such as {tmp_path}/images/b.png"
    bad = BadInput(str(tmp_path), f"{what}: annotate them, or {ADVICE}", 2)
    assert source.listing().bad == [bad]
    (tmp_path / "labels.zip").touch()
    where = f"their labels may be in {tmp_path}/labels.zip: mend or remove {tmp_path}/labels.zip"
    bad = BadInput(str(tmp_path), f"{what}: {where}, or annotate them, or {ADVICE}", 2)
    listing = YoloSource(tmp_path, source.classes).listing()
    assert (listing.bad, names(listing)) == ([bad], ["images/a"])


def test_a_mask_is_no_image_and_its_image_is_no_normal(tmp_path: Path) -> None:
    images = ("images/b.png", "images/c.png", "my_Masks/B_mask.png")
    listing = listed(tmp_path, dict.fromkeys(images))
    mask = tmp_path / "my_Masks/B_mask.png"
    assert listing.ignored == {mask: "a mask, which this format does not read"}
    reason = f"no labels were read, but {mask} has the same name: mend or convert {mask}"
    assert listing.bad == [BadInput(f"{tmp_path}/images/b.png", reason)]
    assert names(listing) == ["images/a", "images/c"]


def test_an_image_whose_labels_are_bad_is_ignored_and_its_labels_are_bad(tmp_path: Path) -> None:
    listing = listed(tmp_path, {"images/b.png": None, "labels/b.txt": "7 0 0 0 0"})
    assert [item.file for item in listing.bad] == [f"{tmp_path}/labels/b.txt"]
    assert listing.ignored == {tmp_path / "images/b.png": "an image whose labels are bad"}
    assert names(listing) == ["images/a"]


def test_copies_of_labelled_images_are_told_what_to_do(tmp_path: Path) -> None:
    files: dict[str, Content] = dict.fromkeys(f"{folder}/c.png" for folder in ("jpg", "png", "img"))
    listing = listed(tmp_path, {**files, "img/c.txt": GUN, "jpg/b.png": None})
    reason = (
        "2 images without labels have the names of labelled ones, such as "
        f"{tmp_path}/jpg/c.png: remove copies, or {ADVICE}"
    )
    assert listing.bad == [BadInput(str(tmp_path), reason, 2)]
    assert names(listing) == ["images/a", "img/c", "jpg/b"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("1 2 3 4", True),
        ("gun 1 2 3 -4.5e1", True),
        ("10 5,30;5 gun 0", True),
        ("1 2 3", False),
        ("1 2 x 4", False),
        ("1 2 3 4\n\nand words", True),  # half of the lines
        ("1 2 3 4\nand\nwords", False),
        ("1 2 3 4\n1 2 3 4\nand\nwords", True),
        ("", False),
    ],
)
def test_labels_are_text_of_which_half_the_lines_hold_four_numbers(
    tmp_path: Path, text: str, labels: bool
) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert looks_like_labels(tmp_path / "a.txt") == labels
    (tmp_path / "Readme.a.txt").write_text(text)
    assert not looks_like_labels(tmp_path / "Readme.a.txt")
    (tmp_path / "notebook.txt").write_text(text)
    assert looks_like_labels(tmp_path / "notebook.txt") == labels
