from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.scans.classes import ClassMap
from pipeline.scans.sources.yolo import YoloSource, _box_or_polygon
from tests.sources.bad_files import assert_one_bad
from tests.sources.sets import GUN
from tests.tiny import write_image

CLASSES = ClassMap({"gun": "gun", "bottle": "normal"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scans of 50x40: a gun, a bottle, and one without a label file."""
    generator = np.random.default_rng(0)
    for name in "abc":
        image = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        write_image(tmp_path / "images" / "train" / f"{name}.png", image)
    labelled(tmp_path, "a", GUN)
    labelled(tmp_path, "b", "1 0.5 0.5 1 1")
    (tmp_path / "data.yaml").write_text("names: [gun, bottle]\nnc: 2\n")
    return tmp_path


def labelled(folder: Path, name: str, *lines: str) -> Path:
    path = folder / "labels" / "train" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_boxes_and_polygons(folder: Path) -> None:
    labelled(folder, "a", GUN, "", "0 0.2 0.125 0.58 0.125 0.58 0.475 0.2 0.475")
    source = YoloSource(folder, CLASSES)
    entries = source.listing().entries
    assert [(entry.scan_id, entry.classes) for entry in entries] == [
        ("images/train/a", ("gun",)), ("images/train/b", ()), ("images/train/c", ()),
    ]  # fmt: skip
    box = np.zeros((40, 50), dtype=np.bool_)
    box[5:20, 10:30] = True
    gun, *others = (source.read(entry).regions for entry in entries)
    for region in gun:
        np.testing.assert_array_equal(region.mask, box)
    assert (len(gun), others) == (2, [(), ()])


def test_names_that_change_places_change_the_records_of_the_scans(folder: Path) -> None:
    labelled(folder, "a", GUN, "1 0.5 0.5 1 1")  # both classes, whichever is called what
    before = YoloSource(folder, CLASSES).listing().entries[0]
    assert YoloSource(folder, CLASSES).listing().entries[0] == before
    (folder / "data.yaml").write_text("names: [bottle, gun]")
    after = YoloSource(folder, CLASSES).listing().entries[0]
    assert (before.classes, before.files) == (after.classes, after.files)
    assert before.records != after.records


def test_in_folders_with_labels_an_image_without_any_may_have_the_name_of_another(
    folder: Path,
) -> None:
    for name in ("a", "d"):  # a is labelled in the other folder, and d in this one
        write_image(folder / "images" / "more" / f"{name}.png", np.zeros((40, 50, 3), np.uint8))
    (folder / "labels" / "more").mkdir()
    (folder / "labels" / "more" / "d.txt").write_text(GUN)
    listing = YoloSource(folder, CLASSES).listing()
    found = {entry.scan_id: entry.classes for entry in listing.entries}
    assert (found["images/more/a"], found["images/more/d"]) == ((), ("gun",))
    assert listing.bad == []


def test_names_that_are_not_there(folder: Path) -> None:
    (folder / "data.yaml").unlink()
    with pytest.raises(InputError, match=r"no names of classes: expected .*classes\.txt$"):
        YoloSource(folder, CLASSES).listing()


def test_a_label_file_beside_its_image(folder: Path) -> None:
    (folder / "images").rename(folder / "scans")
    path = folder / "labels" / "train" / "a.txt"
    path.rename(folder / "scans" / "train" / "a.txt")
    (folder / "labels" / "train" / "b.txt").unlink()
    entries = YoloSource(folder, CLASSES).listing().entries
    assert [entry.classes for entry in entries] == [("gun",), (), ()]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.4 0.3 0.4", "line 2: 3 values after the class fit no form"),
        ("5 0.4 0.3 0.4 0.4", "line 2: class 5, expected one of"),
        ("-1 0.4 0.3 0.4 0.4", "line 2: class -1, expected one of"),
        (f"{10**30} 0.4 0.3 0.4 0.4", "line 2: "),
        ("gun 0.4 0.3 0.4 0.4", "line 2: Invalid class id 'gun'"),
        ("0 nan 0.3 0.4 0.4", "line 2: a coordinate far outside of the image, or not a number"),
        ("0 0.4 0.3 0.4 wide", "line 2: "),
        ("0 nan 0.1 0.3 0.1 0.3 0.3", "line 2: "),
    ],
)
def test_a_wrong_line_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, reason: str
) -> None:
    path = labelled(folder, "a", GUN, line)
    kept = assert_one_bad(YoloSource(folder, CLASSES), capsys, path, reason)
    assert kept == ["images/train/b", "images/train/c"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 1.4 0.3 0.4 0.4", "line 2: a box outside of the image of 50x40"),
        ("0 0.4 0.3 0 0.4", "line 2: a box without area"),
    ],
)
def test_a_wrong_object_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, reason: str
) -> None:
    path = labelled(folder, "a", GUN, line)
    image = folder / "images" / "train" / "a.png"
    assert_one_bad(YoloSource(folder, CLASSES), capsys, image, str(path), reason)


def test_labels_that_are_no_text_or_have_no_image(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = labelled(folder, "a")
    path.write_bytes(b"\xff\xfe\x00")
    assert_one_bad(YoloSource(folder, CLASSES), capsys, path, "not text")
    labelled(folder, "a", GUN)
    labelled(folder, "c")
    path = labelled(folder, "d", GUN)
    assert_one_bad(YoloSource(folder, CLASSES), capsys, path, "labels of no image")


def test_a_link_is_named_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled(folder, "c")
    (folder / "images" / "up").symlink_to(folder)
    link = folder / "images" / "up"
    assert_one_bad(YoloSource(folder, CLASSES), capsys, link, "a link to a folder")


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ("0 .5 .5 .2 .2", 5),  # a box
        ("0 .5 .5 .2 .2 0", 5),  # its confidence, from 0 to 1
        ("0 .5 .5 .2 .2 1", 5),
        ("0 .5 .5 .2 .2 7", 5),  # its track
        ("0 .5 .5 .2 .2 7.00", 5),
        ("0 .5 .5 .2 .2 .9 2", 5),  # both
        ("0 .5 .5 .2 .2 .9 1", 5),
        ("0 .5 .5 .2 .2 0 0", 5),
        ("0 .5 .5 .2 .2 1 0", 5),
        ("0 .1 .5 .2 .2 .9 1", 5),  # the box ends at the edge of the image, or 1% over it
        ("0 .095 .5 .2 .2 .9 1", 5),
        ("0 .905 .5 .2 .2 .9 1", 5),
        ("0 .5 .095 .2 .2 .9 1", 5),
        ("0 .5 .905 .2 .2 .9 1", 5),
        ("0 .08 .5 .2 .2 .9 1", 7),  # further over it: three points
        ("0 .92 .5 .2 .2 .9 1", 7),
        ("0 .5 .08 .2 .2 .9 1", 7),
        ("0 .5 .92 .2 .2 .9 1", 7),
        ("0 .5 .5 .2 .2 .9 1.0", 7),
        ("0 .5 .5 .2 .2 .9 .7", 7),
        ("0 .5 .5 .2 .2 1.5 1", 7),
        ("0 .5 .5 .2 .2 -1 1", 7),
        ("0 0 .5 .02 .2 .9 1", 5),  # exactly 1% over it
        ("0 .5 .5 .2 .2 .7", 5),  # a box and its confidence
        ("0 .1 .1 .2 .1 .2 .2 .1 .2", 9),  # four points
        ("0 .1 .1 .2 .1 .2 .2 .1 .2 12", 9),  # and a track
        ("0 .1 .1 .2 .1 .2 .2 .1 1.01 0 12", 9),  # a confidence and a track
        ("0 .1 .1 .2 .1 .2 .2 .1 1.01 1 12", 9),
    ],
)
def test_what_the_values_of_a_line_are(values: str, kept: int) -> None:
    line = values.split()
    assert _box_or_polygon(line) == line[:kept]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("0 .5 .5 .2 .2 1.1", "^1.1 after a box, expected a confidence from 0 to 1 or a track$"),
        ("0 .5 .5 .2 .2 -1", "^-1 after a box"),
        ("0 .5 .5 .2", "^3 values after the class fit no form: expected a class and a box, also"),
        ("0 .5 .5 .2 .2 .2 .2 .1", "^7 values after the class fit no form"),
        ("0 .5 .5 .2 .2 .2 .2 .1 .1 .1", "^9 values after the class fit no form"),
    ],
)
def test_values_that_fit_no_form(values: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _box_or_polygon(values.split())


def test_a_source_that_has_listed_nothing_reads_the_same(folder: Path) -> None:
    for text in ("1 0.5 0.5 1 1", "", f"{GUN} 0.9 3", "0 0.2 0.125 0.58 0.125 0.58 0.475 12"):
        labelled(folder, "a", text, GUN)
        source, other = (YoloSource(folder, CLASSES) for _ in range(2))
        for entry in source.listing().entries:
            one, same = source.read(entry), other.read(entry)
            assert one.objects == same.objects
            for found, again in zip(one.regions, same.regions, strict=True):
                np.testing.assert_array_equal(found.mask, again.mask)


@pytest.mark.parametrize("line", ["0 10.1 0.5 0.1 0.1", "0 0.1 0.1 0.3 -10.1 0.3 0.3"])
def test_a_coordinate_ten_images_away_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    path = labelled(folder, "a", line)
    reason = "line 1: a coordinate far outside of the image, or not a number"
    assert_one_bad(YoloSource(folder, CLASSES), capsys, path, reason)


def test_images_and_labels_of_ultralytics_runs_are_no_scans(folder: Path) -> None:
    runs = ("runs/detect/x/c.png", "runs/segment/y/labels/c.txt", "runs/pose/d.txt")
    kept = ("runs/d.png", "other/detect/e.png", "runs/train/detect/f.png")
    for number, name in enumerate((*runs, *kept)):
        if name.endswith(".png"):
            write_image(folder / name, np.full((9, 9, 3), 20 * number, dtype=np.uint8))
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(GUN)
    listing = YoloSource(folder, CLASSES).listing()
    reason = "of Ultralytics' runs"
    assert listing.ignored == {folder / name: reason for name in runs}
    names = {entry.scan_id for entry in listing.entries} - {f"images/train/{n}" for n in "abc"}
    assert names == {name.removesuffix(".png") for name in kept}
    assert listing.bad == []


def test_a_set_of_normals_alone_needs_no_names(folder: Path) -> None:
    (folder / "data.yaml").unlink()
    for name in "ab":
        labelled(folder, name)
    listing = YoloSource(folder, CLASSES).listing()
    assert [entry.classes for entry in listing.entries] == [()] * 3
    assert listing.annotations == {folder / "labels/train" / f"{name}.txt" for name in "ab"}


def test_text_that_is_no_label_is_left_alone(folder: Path) -> None:
    """Text is one of labels if most of its lines end in numbers, or if it cannot be read."""
    texts = {
        "notes/read.txt": "hello there\n",
        "notes/empty.txt": "",
        "notes/short.txt": "0 1 2\n",
        "notes/mixed.txt": f"{GUN}\nand some more words here\nand here\n",
        "README.txt": f"{GUN}\n",
        "notes/like.txt": f"{GUN}\n\n{GUN}\nand some words\n",
        "other/named.txt": "gun 0.1 0.2 0.3 0.4\n",
        "other/Labels/far.txt": "hello\n",
        "obj.data": "names = obj.names",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "notes/binary.txt").write_bytes(b"\xff\xfe\x00")
    listing = YoloSource(folder, CLASSES).listing()
    names = (
        "notes/read",
        "notes/empty",
        "notes/short",
        "notes/mixed",
        "README",
        "other/Labels/far",
    )
    left = {folder / f"{name}.txt" for name in names}
    assert listing.ignored == dict.fromkeys(left, "text, but no labels")
    orphans = {bad.file for bad in listing.bad} - {str(folder)}  # c, whose labels may be these
    named = ("notes/like.txt", "other/named.txt", "notes/binary.txt")
    assert orphans == {str(folder / name) for name in named}
    assert folder / "obj.data" in listing.annotations
    assert {image.stem for image in listing.files.images} == {"a", "b", "c"}
