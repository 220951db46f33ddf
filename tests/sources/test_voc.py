from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.scans.sources.classes import ClassMap
from pipeline.scans.sources.voc import VocSource
from tests.conftest import write_image
from tests.sources.bad_files import assert_one_bad

CLASSES = ClassMap({"gun": "gun", "bottle": "normal"})
GUN = ("gun", (11, 6, 30, 20))


def annotated(folder: Path, name: str, *objects: tuple[str, tuple[object, ...]]) -> Path:
    text = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
        f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for label, box in objects
    )
    path = folder / "Annotations" / f"{name}.xml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"<annotation><filename>{name}.png</filename>{text}</annotation>")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scans of 50x40: a gun, a bottle, nothing."""
    generator = np.random.default_rng(0)
    for name in "abc":
        image = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        write_image(tmp_path / "JPEGImages" / f"{name}.png", image)
    annotated(tmp_path, "a", GUN)
    annotated(tmp_path, "b", ("bottle", (1, 1, 50, 40)))
    annotated(tmp_path, "c")
    return tmp_path


def test_boxes_count_pixels_from_1(folder: Path) -> None:
    source = VocSource(folder, CLASSES)
    entries = source.listing().entries
    assert [(entry.scan_id, entry.classes) for entry in entries] == [
        ("JPEGImages/a", ("gun",)), ("JPEGImages/b", ()), ("JPEGImages/c", ()),
    ]  # fmt: skip
    gun, *others = (source.read(entry).regions for entry in entries)
    box = np.zeros((40, 50), dtype=np.bool_)
    box[5:20, 10:30] = True
    np.testing.assert_array_equal(gun[0].mask, box)
    assert others == [(), ()]


def test_a_class_that_the_parameter_does_not_name(folder: Path) -> None:
    with pytest.raises(InputError, match=r"scans\.classes: says nothing of bottle in"):
        VocSource(folder, ClassMap({"gun": "gun"})).listing()


BOMB = (
    '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<annotation><object><name>&b;</name></object></annotation>"
)
FILE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><object>", "not XML that is read: ParseError"),
        ("", "not XML that is read: ParseError"),
        (BOMB, "not XML that is read: EntitiesForbidden"),
        (FILE, "not XML that is read: EntitiesForbidden"),
        ("<html></html>", "not Pascal VOC: expected an <annotation>"),
    ],
)
def test_a_broken_file_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    path = folder / "Annotations" / "a.xml"
    path.write_text(text)
    kept = assert_one_bad(VocSource(folder, CLASSES), capsys, path, reason)
    assert kept == ["JPEGImages/b", "JPEGImages/c"]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((60, 6, 70, 20), "object 2: a box outside of the image of 50x40"),
        (("nan", 6, 30, 20), "object 2: "),
        (("", 6, 30, 20), "object 2: "),
        (("left", 6, 30, 20), "object 2: "),
    ],
)
def test_a_wrong_box_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], box: tuple[object, ...], reason: str
) -> None:
    path = annotated(folder, "a", GUN, ("gun", box))
    file = folder / "JPEGImages" / "a.png"
    assert_one_bad(VocSource(folder, CLASSES), capsys, file, str(path), reason)


def test_files_that_are_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xml = folder / "Annotations" / "c.xml"
    xml.unlink()
    reason = f"1 images without annotation, such as {folder / 'JPEGImages' / 'c.png'}"
    kept = assert_one_bad(VocSource(folder, CLASSES), capsys, folder, reason)
    assert kept == ["JPEGImages/a", "JPEGImages/b"]
    annotated(folder, "c")
    (folder / "JPEGImages" / "c.png").unlink()
    assert_one_bad(VocSource(folder, CLASSES), capsys, xml, "labels, but no image has its name")
