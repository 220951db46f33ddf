"""Which source the parameters open."""

from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.scans.scan import ScanSource
from pipeline.scans.sources.annotated_source import AnnotatedSource
from pipeline.scans.sources.cifar10 import Cifar10Source
from pipeline.scans.sources.class_folders import ClassFolderSource
from pipeline.scans.sources.coco import CocoSource
from pipeline.scans.sources.labelme import LabelMeSource
from pipeline.scans.sources.masks import MasksSource
from pipeline.scans.sources.mvtec import MvtecSource
from pipeline.scans.sources.normal_folder import NormalFolderSource
from pipeline.scans.sources.registry import open_source
from pipeline.scans.sources.text_boxes import TextBoxSource
from pipeline.scans.sources.voc import VocSource
from pipeline.scans.sources.yolo import YoloSource
from pipeline.settings.blocks import NO_FOLDER, ScanSettings


def opened(source: str, folder: str = "some/set", **scans: object) -> ScanSource:
    settings = {
        "source": source, "folder": folder, "seed": 0, "count": 1, "abnormal_class": "car",
        "classes": {}, "bad_input": "fail", "validation": 0.1, "test_normal": 0.1,
        "labelled_validation": 0.1,
    }  # fmt: skip
    return open_source(ScanSettings(**{**settings, **scans}), Path("data/scans"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("coco", CocoSource),
        ("folder", NormalFolderSource),
        ("hixray", TextBoxSource),
        ("labelme", LabelMeSource),
        ("opixray", TextBoxSource),
        ("voc", VocSource),
        ("yolo", YoloSource),
    ],
)
def test_formats_of_objects_know_classes_and_images_without_labels(
    name: str, kind: type[AnnotatedSource]
) -> None:
    source = opened(name, classes={"gun": "weapon"}, unannotated="normal")
    assert type(source) is kind
    assert (source.folder, source.unannotated) == (Path("some/set"), "normal")
    assert [source.classes.meaning(name) for name in ("gun", "knife")] == ["weapon", ""]
    assert opened(name).classes.meaning("gun") == ""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("class_folders", ClassFolderSource),
        ("masks", MasksSource),
        ("mvtec", MvtecSource),
        ("sixray", MasksSource),
    ],
)
def test_formats_of_whole_folders_know_classes(name: str, kind: type[ClassFolderSource]) -> None:
    source = opened(name, classes={"1": "weapon"})
    assert type(source) is kind
    assert source.folder == Path("some/set")
    assert [source.classes.meaning(name) for name in ("1", "2", "good")] == ["weapon", "", ""]
    assert getattr(source, "stretched", False) == (name == "sixray")


def test_where_the_parameters_say_no_class_the_set_s_own_hold() -> None:
    assert [opened("sixray").classes.meaning(value) for value in "123"] == ["gun", "knife", ""]
    assert [opened("mvtec").classes.meaning(name) for name in ("good", "hole")] == [
        "normal",
        "hole",
    ]
    assert opened("masks").classes.meaning("1") == ""


def test_cifar_10_has_its_class() -> None:
    source = opened("cifar10", abnormal_class="automobile")
    assert isinstance(source, Cifar10Source)
    assert (source.folder, source.abnormal_class) == (Path("some/set"), "car")


def test_generated_scans_are_beside_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where no stage has generated any
    source = opened("generated", NO_FOLDER)
    assert isinstance(source, CocoSource)
    with pytest.raises(InputError, match=r"^data/scans/generated: no such folder"):
        source.listing()
