from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.scans.classes import ClassMap
from pipeline.scans.sources.voc import VocSource
from tests.sources.bad_files import assert_one_bad
from tests.tiny import write_image

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
    with pytest.raises(InputError, match=r"scans\.classes: no meaning for bottle in"):
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
        (
            '<?xml version="1.0" encoding="foo"?><annotation/>',
            "not XML that is read: LookupError",
        ),
        (BOMB, "not XML that is read: DTDForbidden"),
        (FILE, "not XML that is read: DTDForbidden"),
        ("<html></html>", "not Pascal VOC: expected an <annotation>, got <html>: "),
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


@pytest.mark.parametrize(("degrees", "bad"), [("0.0", False), ("90.0", True), ("12", True)])
def test_a_rotated_box_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], degrees: str, bad: bool
) -> None:
    path = annotated(folder, "a", GUN)
    turned = f"<attribute><name>rotation</name><value>{degrees}</value></attribute>"
    text = path.read_text().replace("</bndbox>", f"</bndbox><attributes>{turned}</attributes>")
    path.write_text(text)
    source = VocSource(folder, CLASSES)
    if bad:
        reason = "object 1: a rotated box: export it as a polygon, in COCO"
        assert_one_bad(source, capsys, folder / "JPEGImages" / "a.png", str(path), reason)
    else:
        assert len(source.read(source.listing().entries[0]).regions) == 1


def test_an_image_with_a_mask_and_a_file_without_objects_is_no_normal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = np.ones((40, 50, 3), dtype=np.uint8)
    write_image(folder / "SegmentationClass" / "c.png", mask)
    image = folder / "JPEGImages" / "c.png"
    kept = assert_one_bad(
        VocSource(folder, CLASSES, "normal"), capsys, image, "no labels were read"
    )
    assert kept == ["JPEGImages/a", "JPEGImages/b"]


def test_files_that_are_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xml = folder / "Annotations" / "c.xml"
    xml.unlink()
    reason = f"1 images without annotation, such as {folder / 'JPEGImages' / 'c.png'}"
    kept = assert_one_bad(VocSource(folder, CLASSES), capsys, folder, reason)
    assert kept == ["JPEGImages/a", "JPEGImages/b"]
    annotated(folder, "c")
    (folder / "JPEGImages" / "c.png").unlink()
    assert_one_bad(VocSource(folder, CLASSES), capsys, xml, "labels of no image")


def test_another_size_than_annotated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "Annotations" / "a.xml"
    text = path.read_text()
    for width, height in ((40, 50), (50, 41)):
        size = f"<size><width> {width}.0 </width><height>{height}</height></size>"
        path.write_text(text.replace("<object>", f"{size}<object>"))
        image = folder / "JPEGImages" / "a.png"
        reason = f"annotated as {width}x{height}, but the image is 50x40"
        assert_one_bad(VocSource(folder, CLASSES), capsys, image, f"{path}: {reason}")


@pytest.mark.parametrize("size", ["<width>0</width><height>1</height>", "<width>7</width>", "",
                                  "<width>x</width><height>9</height>", "<height>9</height>",
                                  "<width>9</width><height>0</height>"])  # fmt: skip
def test_a_size_that_is_no_size_is_not_compared(folder: Path, size: str) -> None:
    path = folder / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<object>", f"<size>{size}</size><object>"))
    source = VocSource(folder, CLASSES)
    assert len(source.read(source.listing().entries[0]).regions) == 1


def test_a_size_of_thousands_of_digits_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "Annotations" / "a.xml"
    size = f"<size><width>{'9' * 5000}</width><height>40</height></size>"
    path.write_text(path.read_text().replace("<object>", f"{size}<object>", 1))
    image = folder / "JPEGImages" / "a.png"
    assert_one_bad(VocSource(folder, CLASSES), capsys, image, f"{path}: Exceeds the limit")


def polygon(*corners: tuple[int, int]) -> str:
    """An object with a box, and a polygon as tools add it."""
    points = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(corners, 1))
    box = "<bndbox><xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>20</ymax></bndbox>"
    return f"<object><name> gun </name>{box}<polygon>{points}</polygon></object>"


def test_a_polygon_is_filled_and_one_out_of_reach_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "Annotations" / "a.xml"
    path.write_text(f"<annotation>{polygon((11, 6), (30, 6), (30, 20))}</annotation>")
    source = VocSource(folder, CLASSES)
    (region,) = source.read(source.listing().entries[0]).regions
    assert region.class_name == "gun"
    rows, columns = np.nonzero(region.mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 19, 10, 29)
    assert 300 / 2 < region.mask.sum() < 300 / 2 + 20 + 15
    path.write_text(f"<annotation>{polygon((11, 6), (30, 6), (30, 501))}</annotation>")
    image = folder / "JPEGImages" / "a.png"
    reason = f"{path}: object 1: a coordinate far outside of the image, or not a number"
    assert_one_bad(VocSource(folder, CLASSES), capsys, image, reason)
    path.write_text(f"<annotation>{polygon()}</annotation>")
    assert_one_bad(VocSource(folder, CLASSES), capsys, image, f"{path}: object 1: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<object><name>gun</name><robndbox/></object>",
         "object 1: no <bndbox>: export upright boxes as Pascal VOC"),
        ("<object><name> </name><bndbox/></object>", "an <object> without <name>"),
        ("<object><bndbox/></object>", "an <object> without <name>"),
        ("<o><object><bndbox/></object></o>",
         "no <object> directly below <annotation>, but a <object>: expected Pascal VOC"),
        ("<bndbox/>", "no <object> directly below <annotation>, but a <bndbox>"),
        ("<object><name>gun</name><bndbox/><bndbox/></object>", "object 1: more than one <bndbox>"),
    ],
)  # fmt: skip
def test_an_object_of_another_form_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    path = folder / "Annotations" / "a.xml"
    path.write_text(f"<annotation>{text}</annotation>")
    file = folder / "JPEGImages" / "a.png" if "robndbox" in text else path
    kept = assert_one_bad(VocSource(folder, CLASSES), capsys, file, reason)
    assert kept == ["JPEGImages/b", "JPEGImages/c"]


def test_segmentation_masks_are_no_scans(folder: Path) -> None:
    for number, name in enumerate(
        ("SegmentationClass", "SegmentationObjectRaw", "x/SegmentationX")
    ):
        write_image(folder / name / "a.png", np.full((9, 9, 3), number, dtype=np.uint8))
    listing = VocSource(folder, CLASSES, "normal").listing()
    masks = (folder / name / "a.png" for name in ("SegmentationClass", "SegmentationObjectRaw"))
    assert listing.ignored == dict.fromkeys(masks, "VOC's segmentation masks; its boxes are read")
    names = [entry.scan_id for entry in listing.entries]
    assert names == ["JPEGImages/a", "JPEGImages/b", "JPEGImages/c", "x/SegmentationX/a"]


def test_no_image_is_normal_while_labels_without_an_image_cannot_be_read(folder: Path) -> None:
    (folder / "Annotations" / "c.xml").rename(folder / "Annotations" / "gone.xml")
    listing = VocSource(folder, CLASSES, "normal").listing()
    assert len(listing.entries) == 3
    (folder / "Annotations" / "gone.xml").write_text("<annotation>")
    listing = VocSource(folder, CLASSES, "normal").listing()
    assert [entry.scan_id for entry in listing.entries] == ["JPEGImages/a", "JPEGImages/b"]
    assert len(listing.bad) == 2
