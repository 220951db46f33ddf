from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.sources.classes import ClassMap
from pipeline.sources.yolo import YoloSource
from tests.conftest import write_image
from tests.sources.bad_files import assert_one_bad

CLASSES = ClassMap({"gun": "gun", "bottle": "normal"})
GUN = "0 0.4 0.3125 0.4 0.375"  # of 50x40: columns 10 to 29, rows 5 to 19


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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: {0: gun, 1: bottle}"),
        ("data.yaml", "names:\n- gun\n- bottle"),
        ("classes.txt", "gun\nbottle\n"),
    ],
)
def test_where_the_names_are(folder: Path, name: str, text: str) -> None:
    (folder / "data.yaml").unlink()
    (folder / name).write_text(text)
    assert YoloSource(folder, CLASSES).listing().entries[0].classes == ("gun",)


@pytest.mark.parametrize("text", ["names: 3", "names: {a: gun}", "names: []", "names: gun"])
def test_names_that_cannot_be_used(folder: Path, text: str) -> None:
    (folder / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml: expected the classes under `names`"):
        YoloSource(folder, CLASSES).listing()


@pytest.mark.parametrize("text", ["", "- gun", "nc: 2"])
def test_names_that_are_not_there(folder: Path, text: str) -> None:
    (folder / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"no names of classes: .*data\.yaml has no `names`"):
        YoloSource(folder, CLASSES).listing()
    (folder / "data.yaml").unlink()
    with pytest.raises(InputError, match=r"no names of classes: expected .*classes\.txt$"):
        YoloSource(folder, CLASSES).listing()
    (folder / "data.yaml").write_text("a: [1")
    with pytest.raises(InputError, match=r"data\.yaml: not valid YAML"):
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
        ("0 nan 0.3 0.4 0.4", "line 2: Invalid box"),
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
    assert_one_bad(YoloSource(folder, CLASSES), capsys, path, "labels, but no image has its name")


def test_a_link_is_named_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled(folder, "c")
    (folder / "images" / "up").symlink_to(folder)
    link = folder / "images" / "up"
    assert_one_bad(YoloSource(folder, CLASSES), capsys, link, "a link to a folder")
