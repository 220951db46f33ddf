import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED
from pipeline.scans.sources.classes import ClassMap
from pipeline.scans.sources.coco import CocoSource
from tests.conftest import write_image
from tests.sources.bad_files import assert_one_bad

CLASSES = ClassMap({"Gun": "gun", "Bottle": "normal", "Person": "ignore"})
Content = dict[str, Any]


def annotation(number: int, image: int, category: int, **more: object) -> Content:
    return {
        "id": number, "image_id": image, "category_id": category,
        "bbox": [10, 5, 20, 15], "area": 300, "iscrowd": 0, **more,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four scans of 50x40: a gun (box), one with a bottle, one with a person, one with nothing."""
    generator = np.random.default_rng(0)
    for number in range(1, 5):
        image = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        write_image(tmp_path / "images" / f"{number}.png", image)
    write(tmp_path, lambda content: None)
    return tmp_path


def write(folder: Path, change: Callable[[Content], object]) -> Path:
    content: Content = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": 50, "height": 40}
            for number in range(1, 5)
        ],
        "categories": [{"id": i, "name": n} for i, n in ((7, "Gun"), (8, "Bottle"), (9, "Person"))],
        "annotations": [annotation(1, 1, 7), annotation(2, 2, 8), annotation(3, 3, 9)],
    }
    change(content)
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def with_gun(folder: Path, **more: object) -> Path:
    """The gun's annotation, changed."""
    return write(folder, lambda content: content["annotations"][0].update(more))


def test_classes_are_normal_abnormal_or_ignored(folder: Path) -> None:
    source = CocoSource(folder, CLASSES)
    entries = source.listing().entries
    assert [(entry.scan_id, entry.classes) for entry in entries] == [
        ("images/1", ("gun",)), ("images/2", ()), ("images/3", ()), ("images/4", ()),
    ]  # fmt: skip
    regions = [source.read(entry).regions for entry in entries]
    assert [[region.class_name for region in found] for found in regions] == [
        ["gun"], [], [IGNORED], [],
    ]  # fmt: skip
    box = np.zeros((40, 50), dtype=np.bool_)
    box[5:20, 10:30] = True
    np.testing.assert_array_equal(regions[0][0].mask, box)


def test_a_copy_in_another_process_reads_the_same(folder: Path) -> None:
    source = CocoSource(folder, CLASSES)
    copy = pickle.loads(pickle.dumps(CocoSource(folder, CLASSES)))
    for entry in source.listing().entries:
        for one, other in zip(source.read(entry).regions, copy.read(entry).regions, strict=True):
            np.testing.assert_array_equal(one.mask, other.mask)


def test_polygons_and_run_lengths(folder: Path) -> None:
    with_gun(folder, segmentation=[[10, 5, 29, 5, 29, 19, 10, 19]])
    source = CocoSource(folder, CLASSES)
    (region,) = source.read(source.listing().entries[0]).regions
    assert int(region.mask.sum()) == 300
    with_gun(folder, segmentation={"size": [40, 50], "counts": [400, 40, 1560]})
    source = CocoSource(folder, CLASSES)
    (region,) = source.read(source.listing().entries[0]).regions
    assert region.mask[:, 10].all()
    assert int(region.mask.sum()) == 40


def test_a_scan_s_digest_is_of_its_own_records(folder: Path) -> None:
    before = {e.scan_id: e.records for e in CocoSource(folder, CLASSES).listing().entries}
    with_gun(folder, bbox=[10, 5, 21, 15])
    after = {e.scan_id: e.records for e in CocoSource(folder, CLASSES).listing().entries}
    assert [name for name in before if before[name] != after[name]] == ["images/1"]


def test_a_class_that_the_parameter_does_not_name(folder: Path) -> None:
    with pytest.raises(InputError, match=r"scans\.classes: says nothing of Bottle, Person in"):
        CocoSource(folder, ClassMap({"Gun": "gun"})).listing()
    entries = CocoSource(folder, ClassMap({"Gun": "gun", "*": "normal"})).listing().entries
    assert [entry.classes for entry in entries] == [("gun",), (), (), ()]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": [60, 5, 20, 15]}, "annotation 1: a box outside of the image of 50x40"),
        ({"bbox": [10, 5, 0, 15]}, "annotation 1: a box without area"),
        ({"bbox": [10, 5, -3, 15]}, "annotation 1: Invalid box extent"),
        ({"bbox": [float("nan"), 5, 20, 15]}, "annotation 1: xyxy must contain only finite"),
        ({"bbox": "big"}, "annotation 1: "),
        ({"bbox": None}, "annotation 1: "),
        ({"segmentation": [[1, 2, 3, 4, 5]]}, "annotation 1: an odd polygon"),
        ({"segmentation": [[float("inf"), 2, 3, 4, 5, 6]]}, "annotation 1: "),
        ({"segmentation": [[1, 2, 3, 4, 5, 2**31]]}, "annotation 1: a polygon that reaches far"),
        ({"segmentation": [["a", 2, 3, 4, 5, 6]]}, "annotation 1: "),
        ({"segmentation": {"size": [40, 50], "counts": [400, 40]}}, "annotation 1: the sum of"),
        ({"segmentation": {"size": [40, 50], "counts": "~~\x01"}}, "annotation 1: "),
        ({"segmentation": {"size": [40, 50], "counts": [2100, -100]}}, "annotation 1: "),
        ({"segmentation": {"size": [40, 50], "counts": [2000]}}, "annotation 1: an empty polygon"),
        (
            {"segmentation": {"size": [50, 40], "counts": [2000]}},
            "annotation 1: annotated as 40x50, but ",
        ),
        ({"segmentation": {"size": [40, 50]}}, "annotation 1: "),
        ({"segmentation": 3}, "annotation 1: "),
        ({"category_id": 99}, "annotation 1 of 1.png: unknown category 99"),
    ],
)
def test_an_annotation_that_is_wrong_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], reason: str
) -> None:
    path = with_gun(folder, **change)
    at_listing = "category_id" in change
    file = path if at_listing else folder / "images" / "1.png"
    kept = assert_one_bad(CocoSource(folder, CLASSES), capsys, file, str(path), reason)
    assert kept == ["images/2", "images/3", "images/4"]


def test_another_size_than_annotated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, lambda content: content["images"][0].update(width=40, height=50))
    source = CocoSource(folder, CLASSES)
    assert_one_bad(
        source,
        capsys,
        folder / "images" / "1.png",
        "1.png: annotated as 40x50, but the image is 50x40",
    )


def test_images_that_are_missing_or_listed_twice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "annotations.json"
    elsewhere = folder.parent / "elsewhere.png"
    (folder / "images" / "4.png").rename(elsewhere)
    kept = assert_one_bad(
        CocoSource(folder, CLASSES), capsys, path, "'4.png' is not in the folder: correct"
    )
    assert kept == ["images/1", "images/2", "images/3"]
    elsewhere.rename(folder / "images" / "4.png")
    again = {"id": 5, "file_name": "4.png", "width": 50, "height": 40}
    write(folder, lambda content: content["images"].append(again))
    assert CocoSource(folder, CLASSES).listing().bad == []  # it says the same

    def differently(content: Content) -> None:
        content["images"].append(again)
        content["annotations"].append(annotation(4, 5, 7))

    write(folder, differently)
    assert_one_bad(CocoSource(folder, CLASSES), capsys, path, "'4.png' is annotated twice")


def test_an_annotation_of_no_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(folder, lambda content: content["annotations"].append(annotation(4, 77, 7)))
    assert_one_bad(CocoSource(folder, CLASSES), capsys, path, "annotation 4: unknown image 77")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ("", "not JSON: "),
        ('{"images": 3}', "not laid out as COCO: no 'categories'"),
        ('{"images": [3], "categories": [], "annotations": []}', "not laid out as COCO: "),
        ('{"images": [], "categories": [], "annotations": [{}]}', "not laid out as COCO: no "),
        ('{"images": [{"id": 1}], "categories": [], "annotations": []}', "not laid out as COCO: "),
    ],
)
def test_broken_files_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    (folder / "more.json").write_text(text)
    kept = assert_one_bad(CocoSource(folder, CLASSES), capsys, folder / "more.json", reason)
    assert len(kept) == 4


def test_two_folders_with_the_same_names(folder: Path) -> None:
    """Each JSON file speaks of the images beside or below it."""
    for part in ("train", "val"):
        (folder / part).mkdir()
        (folder / "annotations.json").rename(folder / part / "annotations.json")
        for number in range(1, 5):
            path = folder / part / f"{number}.png"
            path.write_bytes((folder / "images" / f"{number}.png").read_bytes())
        write(folder, lambda content: None)
    (folder / "annotations.json").unlink()
    shutil.rmtree(folder / "images")
    listing = CocoSource(folder, CLASSES).listing()
    assert listing.bad == []
    assert len(listing.entries) == 8


def test_no_annotations_at_all(folder: Path) -> None:
    (folder / "annotations.json").unlink()
    with pytest.raises(InputError, match="no JSON file of COCO in it"):
        CocoSource(folder, CLASSES).listing()
