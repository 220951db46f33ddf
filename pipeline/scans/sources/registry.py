"""Opens the scan source that the parameters name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.scans.classes import AS_NAMED, ClassMap
from pipeline.scans.scan import ScanSource
from pipeline.scans.sources.annotated_source import AnnotatedSource
from pipeline.scans.sources.cifar10 import Cifar10Source
from pipeline.scans.sources.class_folders import ClassFolderSource
from pipeline.scans.sources.coco import CocoSource
from pipeline.scans.sources.labelme import LabelMeSource
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.scans.sources.mvtec import MVTEC, MvtecSource
from pipeline.scans.sources.normal_folder import NormalFolderSource
from pipeline.scans.sources.text_boxes import TextBoxSource
from pipeline.scans.sources.voc import VocSource
from pipeline.scans.sources.yolo import YoloSource
from pipeline.settings.blocks import ScanSettings

ANNOTATED: dict[str, type[AnnotatedSource]] = {
    "coco": CocoSource,
    "folder": NormalFolderSource,
    "hixray": TextBoxSource,
    "labelme": LabelMeSource,
    "opixray": TextBoxSource,
    "voc": VocSource,
    "yolo": YoloSource,
}
OTHERS: dict[str, Callable[[Path, ClassMap], ScanSource]] = {
    "class_folders": ClassFolderSource,
    "masks": MasksSource,
    "mvtec": MvtecSource,
    "sixray": partial(MasksSource, stretched=True),
}
CLASSES = {"mvtec": MVTEC, "sixray": SIXRAY}  # defaults of `scans.classes`
GENERATED = "generated"  # the generated scans' folder, beside the catalogue


def open_source(settings: ScanSettings, scans_folder: Path) -> ScanSource:
    """Return the source named by `settings`; the stage `scans` writes to `scans_folder`."""
    generated = settings.source == "generated"
    return open_folder(settings, scans_folder / GENERATED if generated else Path(settings.folder))


def open_folder(settings: ScanSettings, folder: Path) -> ScanSource:
    """Return the source for a folder of scans in the format that `settings` names."""
    if settings.source == "generated":
        return CocoSource(folder, AS_NAMED)
    if settings.source == "cifar10":
        return Cifar10Source(folder, settings.abnormal_class)
    default = CLASSES.get(settings.source, ClassMap({}))
    classes = ClassMap(settings.classes) if settings.classes else default
    if settings.source in ANNOTATED:
        return ANNOTATED[settings.source](folder, classes, settings.unannotated)
    return OTHERS[settings.source](folder, classes)
