from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import InputError
from pipeline.scans.sources.class_folders import ClassFolderSource
from pipeline.scans.sources.classes import ClassMap
from tests.conftest import write_image

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
    with pytest.raises(InputError, match=r"scans\.classes: says nothing of knives in"):
        ClassFolderSource(tmp_path, CLASSES).listing()
    write_classes(tmp_path, ".")
    with pytest.raises(InputError, match=r"1\.png: not in a folder of its class: expected <class>"):
        ClassFolderSource(tmp_path, CLASSES).listing()
    write_classes(tmp_path, "train/0.normal", "test/1.knife")
    with pytest.raises(InputError, match=r"1\.png: not in .* expected train/<class>/ or test/"):
        ClassFolderSource(tmp_path, CLASSES).listing()
