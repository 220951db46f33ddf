from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED
from pipeline.scans.classes import ClassMap
from pipeline.scans.sources.class_folders import ClassFolderSource
from pipeline.scans.sources.unlabelled import MASK
from tests.tiny import write_image

CLASSES = ClassMap({"normal": "normal", "knife": "knife", "part": "gun_part", "spare": "ignore"})


def write_classes(folder: Path, *names: str) -> Path:
    generator = np.random.default_rng(0)
    for name in names:
        image = generator.integers(0, 256, (16, 20, 3), dtype=np.uint8)
        write_image(folder / name / "1.png", image)
    return folder


def test_the_layout_of_the_2019_code(tmp_path: Path) -> None:
    write_classes(tmp_path, "train/0.normal", "test/0.normal", "test/1.knife")
    source = ClassFolderSource(tmp_path, CLASSES)
    entries = source.listing().entries
    assert [(entry.scan_id, entry.classes, entry.part) for entry in entries] == [
        ("test/0.normal/1", (), "test"),
        ("test/1.knife/1", ("knife",), "test"),
        ("train/0.normal/1", (), "train"),
    ]
    normal, knife, _ = (source.read(entry) for entry in entries)
    assert normal.regions == ()
    assert knife.image.shape == (16, 20, 3)
    (region,) = knife.regions
    assert region.class_name == "knife"
    assert region.mask.all()


def test_classes_without_parts(tmp_path: Path) -> None:
    write_classes(tmp_path, "normal", "part/deeper", "spare")
    entries = ClassFolderSource(tmp_path, CLASSES).listing().entries
    assert [(entry.scan_id, entry.classes, entry.part) for entry in entries] == [
        ("normal/1", (), None),
        ("part/deeper/1", ("gun_part",), None),
    ]


def test_what_is_in_no_class_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path, "normal", "knives")
    with pytest.raises(InputError, match=r"scans\.classes: no meaning for knives in"):
        ClassFolderSource(tmp_path, CLASSES).listing()
    write_classes(tmp_path, ".")
    with pytest.raises(InputError, match=r"1\.png: not in a folder of its class: expected <class>"):
        ClassFolderSource(tmp_path, CLASSES).listing()
    write_classes(tmp_path, "train/0.normal", "test/1.knife")
    with pytest.raises(InputError, match=r"1\.png: not in .* expected train/<class>/ or test/"):
        ClassFolderSource(tmp_path, CLASSES).listing()


def test_what_is_ignored_and_what_stands_for_two_is_said(tmp_path: Path) -> None:
    write_classes(tmp_path, "normal", "7.spare", "knife")
    write_image(tmp_path / "knife" / "1.bmp", np.zeros((16, 20, 3), dtype=np.uint8))
    listing = ClassFolderSource(tmp_path, CLASSES).listing()
    reason = "an image of a class that scans.classes ignores"
    assert listing.ignored == {tmp_path / "7.spare/1.png": reason}
    assert listing.names == {"normal", "spare", "knife"}
    assert [entry.files[0].name for entry in listing.entries] == ["1.bmp", "1.png"]
    (bad,) = listing.bad
    assert bad.file == f"{tmp_path}/knife/1.png"


def test_a_mask_beside_its_image_is_no_scan(tmp_path: Path) -> None:
    write_classes(tmp_path, "normal", "knife")
    for name in ("1_mask", "2_mask"):
        write_image(tmp_path / "knife" / f"{name}.png", np.ones((16, 20, 3), dtype=np.uint8))
    listing = ClassFolderSource(tmp_path, CLASSES).listing()
    assert [entry.scan_id for entry in listing.entries] == ["knife/1", "knife/2_mask", "normal/1"]
    assert listing.ignored == {tmp_path / "knife/1_mask.png": MASK}


@pytest.mark.parametrize("above", ["", "train/"])
def test_masks_below_a_class_are_no_scans(tmp_path: Path, above: str) -> None:
    others = ("test/masks",) if above else ("masks",)
    folders = (f"{above}normal/masks", f"{above}knife/ground_truth", *others)
    write_classes(tmp_path, f"{above}normal", *folders)
    listing = ClassFolderSource(tmp_path, ClassMap({"*": "*"})).listing()
    assert {entry.scan_id for entry in listing.entries} == {
        f"{above}normal/1", *(f"{name}/1" for name in others)
    }  # fmt: skip
    assert set(listing.ignored) == {tmp_path / name / "1.png" for name in folders[:2]}


def test_the_folder_of_a_class_without_an_image_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path, "normal", "knife")
    for name in ("notes.txt", "knife/notes.txt", "docs/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert len(ClassFolderSource(tmp_path, CLASSES).listing().entries) == 2
    (tmp_path / "2.part").mkdir()
    (tmp_path / "2.part/scan.xyz").touch()
    message = (
        rf"^{tmp_path}/2\.part: no image of class part in it, but scan\.xyz: expected PNG, JPEG"
    )
    with pytest.raises(InputError, match=message):
        ClassFolderSource(tmp_path, CLASSES).listing()


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        (("Train/normal", "VALID/normal", "testing/12.knife"),
         [("Train/normal/1", "train"), ("VALID/normal/1", "validation"),
          ("testing/12.knife/1", "test")]),
        (("val/normal", "validation/normal"), None),  # both are one part, so they are classes
        (("train/normal/test", "test/knife/train"),
         [("test/knife/train/1", "test"), ("train/normal/test/1", "train")]),
    ],
)  # fmt: skip
def test_two_parts_or_more_are_the_set_s_own(
    tmp_path: Path, folders: tuple[str, ...], found: list[tuple[str, str]] | None
) -> None:
    source = ClassFolderSource(write_classes(tmp_path, *folders), CLASSES)
    if found is None:
        with pytest.raises(InputError, match=r"no meaning for val, validation in"):
            source.listing()
        return
    assert [(entry.scan_id, entry.part) for entry in source.listing().entries] == found


def test_the_objects_of_a_scan_are_its_class_in_the_set_s_words(tmp_path: Path) -> None:
    source = ClassFolderSource(write_classes(tmp_path, "normal", "3.part"), CLASSES)
    part, normal = (source.read(entry) for entry in source.listing().entries)
    assert (part.scan_id, part.objects, normal.objects) == ("3.part/1", ("part",), ())
    assert part.regions[0].class_name == "gun_part"
    np.testing.assert_array_equal(part.regions[0].mask, np.ones((16, 20), dtype=np.bool_))
    assert part.regions[0].mask.dtype == np.bool_
    assert [source.classes.meaning(name) for name in ("part", "spare")] == ["gun_part", IGNORED]
