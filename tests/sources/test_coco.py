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
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.sources.coco import CocoSource
from tests.sources.bad_files import assert_one_bad
from tests.tiny import write_image

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


@pytest.mark.parametrize("degrees", [0.0, 90.0])
def test_a_rotated_box_is_refused(folder: Path, degrees: float) -> None:
    with_gun(folder, attributes={"occluded": False, "rotation": degrees})
    source = CocoSource(folder, CLASSES)
    if degrees:
        with pytest.raises(InputError, match="annotation 1: a rotated box: draw it as a polygon"):
            source.read(source.listing().entries[0])
    else:
        assert len(source.read(source.listing().entries[0]).regions) == 1


def test_polygons_and_run_lengths(folder: Path) -> None:
    with_gun(folder, segmentation=[[10, 5, 29, 5, 29, 19, 10, 19]])
    source = CocoSource(folder, CLASSES)
    (region,) = source.read(source.listing().entries[0]).regions
    assert int(region.mask.sum()) == 300
    lengths = {"size": [40, 50], "counts": [400, 40, 1560]}
    with_gun(folder, segmentation=lengths, bbox=[30, 0, 1, 40])  # as of a mask that was transposed
    source = CocoSource(folder, CLASSES)
    with pytest.raises(InputError, match="annotation 1: segmentation and bbox lie in different pl"):
        source.read(source.listing().entries[0])
    with_gun(folder, segmentation=lengths, bbox=[10, 0, 1, 40])
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
    with pytest.raises(InputError, match=r"scans\.classes: no meaning for Bottle, Person in"):
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
        ({"segmentation": [[1, 2, 3, 4, 5, 2**31]]}, "annotation 1: a coordinate far outside"),
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


@pytest.mark.parametrize(("width", "height"), [(40, 50), (40.0, 50)])
def test_another_size_than_annotated(
    folder: Path, capsys: pytest.CaptureFixture[str], width: float, height: int
) -> None:
    write(folder, lambda content: content["images"][0].update(width=width, height=height))
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


BOX_NOTE = "objects whose polygon is a point or a box: bbox was taken"


@pytest.mark.parametrize(
    ("segmentation", "pixels", "boxes"),
    [
        ([], 300, 0),
        (None, 300, 0),
        ([[]], 300, 1),
        ([[10, 5]], 300, 1),
        ([[10, 5, 30, 20]], 300, 1),
        ([10, 5, 30, 20], 300, 1),
        ([[10, 5, 29, 5, 29, 19], [1, 2]], 300, 1),
        ([10, 5, 29, 5, 29, 19, 10, 19], 300, 0),
        ([[10, 5, 19, 5, 19, 19, 10, 19], [20, 5, 29, 5, 29, 19, 20, 19]], 300, 0),
    ],
)
def test_a_polygon_of_one_or_two_points_leaves_the_box(
    folder: Path, segmentation: object, pixels: int, boxes: int
) -> None:
    with_gun(folder, segmentation=segmentation)
    source = CocoSource(folder, CLASSES)
    listing = source.listing()
    assert listing.notes == ({BOX_NOTE: boxes} if boxes else {})
    (region,) = source.read(listing.entries[0]).regions
    assert (region.mask.sum(), region.mask[5:20, 10:30].sum()) == (pixels, pixels)


@pytest.mark.parametrize(
    ("corners", "fits"),
    [
        ((10, 5, 30, 20), True),  # the box
        ((10, 5, 30, 12), True),  # 21x8 of 21x16 pixels, as the corners are counted: half
        ((10, 5, 30, 11), False),
        ((10, 5, 20, 20), True),  # 11x16 of 21x16
        ((10, 5, 19, 20), False),
        ((4, 5, 36, 20), True),  # around the box
        ((0, 5, 49, 20), False),
        ((16, 5, 36, 20), True),  # beside it: 15x16 of 27x16
        ((18, 5, 38, 20), False),  # 13x16 of 29x16
        ((10, 9, 30, 24), True),  # 21x12 of 21x20
        ((10, 11, 30, 26), False),  # 21x10 of 21x22
        ((31, 5, 49, 20), False),
        ((31, 21, 49, 39), False),
    ],
)
def test_a_polygon_shares_half_of_what_it_and_its_box_cover(
    folder: Path, corners: tuple[int, int, int, int], fits: bool
) -> None:
    left, top, right, bottom = corners
    ring = [[left, top], [right, top], [right, bottom], [left, bottom]]
    for first in (0, 3):
        turned = ring[first:] + ring[:first]
        with_gun(folder, segmentation=[[value for corner in turned for value in corner]])
        source = CocoSource(folder, CLASSES)
        entry = source.listing().entries[0]
        if fits:
            assert len(source.read(entry).regions) == 1
            continue
        with pytest.raises(
            InputError, match="annotation 1: segmentation and bbox lie in different pl"
        ):
            source.read(entry)


@pytest.mark.parametrize("size", [(None, 40), ("50", 40), (0, 40), (50, -1), (50.0, 40), (40, 0)])
def test_a_size_that_is_no_size_is_not_compared(folder: Path, size: tuple[object, object]) -> None:
    sizes = {"width": size[0], "height": size[1]}
    write(folder, lambda content: content["images"][0].update(sizes))
    source = CocoSource(folder, CLASSES)
    assert len(source.read(source.listing().entries[0]).regions) == 1


@pytest.mark.parametrize("ids", [("1", 7), (1.0, 7), (1, "7"), (1, 7.0)])
def test_ids_may_be_numbers_or_text(folder: Path, ids: tuple[object, object]) -> None:
    with_gun(folder, image_id=ids[0], category_id=ids[1])
    listing = CocoSource(folder, CLASSES).listing()
    assert (listing.bad, listing.entries[0].classes) == ([], ("gun",))
    write(folder, lambda content: content["images"][0].update(id=ids[0]))
    assert CocoSource(folder, CLASSES).listing().entries[0].classes == ("gun",)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("images/1.png", "images/1"),
        (r"images\1.png", "images/1"),
        (" 1.png ", "images/1"),
        ("/home/me/old/images/1.png", "images/1"),
        (r"C:\old\1.png", "images/1"),
        ("../else/1.png", "images/1"),
        ("deep/2.png", "images/deep/2"),
        ("../images/deep/../1.png", "images/1"),
    ],
)
def test_an_image_is_found_by_the_end_of_its_path(folder: Path, written: str, found: str) -> None:
    (folder / "images/deep").mkdir()
    (folder / "images/2.png").rename(folder / "images/deep/2.png")

    def change(content: Content) -> None:
        content["images"] = [{"id": 1, "file_name": written}]
        content["annotations"] = [annotation(1, 1, 7)]

    write(folder, change)
    listing = CocoSource(folder, CLASSES, "normal").listing()
    assert listing.bad == []
    assert [entry.scan_id for entry in listing.entries if entry.classes] == [found]


def test_an_image_that_could_be_several_is_named_and_none_of_them_is_normal(folder: Path) -> None:
    for place in ("x", "y"):
        shutil.copy(folder / "images/1.png", folder / f"{place}.png")
        (folder / place).mkdir()
        (folder / f"{place}.png").rename(folder / place / "1.png")
    path = folder / "labels" / "instances.json"
    path.parent.mkdir()
    (folder / "annotations.json").rename(path)
    listing = CocoSource(folder, CLASSES, "normal").listing()
    reason = (
        f"image '1.png' could be any of 3, such as {folder}/images/1.png: correct its file_name"
    )
    assert listing.bad == [BadInput(str(path), reason)]
    assert [entry.scan_id for entry in listing.entries] == ["images/2", "images/3", "images/4"]


@pytest.mark.parametrize(
    ("json_name", "found"),
    [
        ("labels/instances_train2017.json", "images/train/1"),
        ("labels/val.json", "images/val/1"),
        ("images/val/a.json", "images/val/1"),
        ("images/a_train.json", "images/train/1"),
    ],
)
def test_of_equal_names_the_one_of_the_file_s_part_or_place_is_meant(
    folder: Path, json_name: str, found: str
) -> None:
    for part in ("train", "val"):
        (folder / "images" / part).mkdir()
        shutil.copy(folder / "images/2.png", folder / "images" / part / "1.png")
    (folder / "images/1.png").unlink()
    (folder / json_name).parent.mkdir(exist_ok=True)
    (folder / "annotations.json").rename(folder / json_name)
    listing = CocoSource(folder, CLASSES, "normal").listing()
    assert listing.bad == []
    assert [entry.scan_id for entry in listing.entries if entry.classes] == [found]


def test_the_part_in_a_file_s_name_is_that_of_its_images(folder: Path) -> None:
    (folder / "annotations.json").rename(folder / "instances_val2017.json")
    parts = {entry.part for entry in CocoSource(folder, CLASSES).listing().entries}
    assert parts == {"validation"}


def test_a_file_without_any_annotation_is_said_with_its_images(folder: Path) -> None:
    normals = {"images": [{"id": 1, "file_name": name} for name in ("4.png",)],
               "categories": [], "annotations": []}  # fmt: skip
    write(folder, lambda content: content["images"].pop())
    (folder / "normals.json").write_text(json.dumps(normals))
    (folder / "info.json").write_text('{"info": {}}')
    (folder / "list.json").write_text('["images"]')
    listing = CocoSource(folder, CLASSES).listing()
    note = f"normal images of {folder}/normals.json, which has no annotation at all"
    assert (listing.bad, listing.notes) == ([], {note: 1})
    others = (folder / name for name in ("info.json", "list.json"))
    assert listing.ignored == dict.fromkeys(others, "JSON, but not COCO's")
    assert listing.annotations == {folder / "annotations.json", folder / "normals.json"}
    assert len(listing.entries) == 4


def test_images_that_a_lost_annotation_may_mean_are_no_normals(folder: Path) -> None:
    write(folder, lambda content: content["annotations"].append(annotation(4, 77, 7)))
    listing = CocoSource(folder, CLASSES, "normal").listing()
    path = str(folder / "annotations.json")
    reason = "annotation 4: unknown image 77: remove the annotation, or add image 77"
    lost = "images without objects, such as {}: annotations of unknown images may be theirs"
    assert listing.bad == [BadInput(path, reason), BadInput(path, f"1 {lost.format('4.png')}")]
    assert [entry.scan_id for entry in listing.entries] == ["images/1", "images/2", "images/3"]
    with_gun(folder, image_id=77)
    (_, bad) = CocoSource(folder, CLASSES, "normal").listing().bad
    assert bad == BadInput(path, f"2 {lost.format('1.png')}", 2)
    with_gun(folder, category_id=99)
    listing = CocoSource(folder, CLASSES, "normal").listing()
    reason = (
        "annotation 1 of 1.png: unknown category 99: add it to categories, or correct category_id"
    )
    assert listing.bad == [BadInput(path, reason)]
    assert [entry.scan_id for entry in listing.entries] == ["images/2", "images/3", "images/4"]


def test_normals_alone_need_no_file_where_the_user_says_so(folder: Path) -> None:
    (folder / "annotations.json").unlink()
    source, other = (CocoSource(folder, CLASSES, "normal") for _ in range(2))
    entries = source.listing().entries
    assert [entry.classes for entry in entries] == [()] * 4
    assert [each.read(entries[0]).regions for each in (source, other)] == [(), ()]


def test_a_scan_that_is_no_longer_annotated_is_named(folder: Path) -> None:
    entry = CocoSource(folder, CLASSES).listing().entries[0]
    write(folder, lambda content: content["images"].pop(0))
    reason = "1.png: no longer annotated: run `dvc repro scans`"
    with pytest.raises(InputError, match=reason):
        CocoSource(folder, CLASSES).read(entry)


@pytest.mark.parametrize("name", ["", " ", "/"])
def test_an_image_without_a_name_is_named(folder: Path, name: str) -> None:
    write(folder, lambda content: content["images"][1].update(file_name=name))
    listing = CocoSource(folder, CLASSES).listing()
    reason = "not laid out as COCO: image 2 has no file name"
    assert listing.bad[0] == BadInput(str(folder / "annotations.json"), reason)
    assert listing.entries == []
