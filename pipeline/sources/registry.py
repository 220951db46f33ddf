"""Opens the scan source that the parameters name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.settings import ScanSettings
from pipeline.sources.base import ScanSource
from pipeline.sources.cifar10 import Cifar10Source
from pipeline.sources.class_folders import ClassFolderSource
from pipeline.sources.classes import ClassMap
from pipeline.sources.coco import CocoSource
from pipeline.sources.detections import DetectionSource
from pipeline.sources.embedded.coco import EmbeddedSource
from pipeline.sources.labelme import LabelMeSource
from pipeline.sources.masks import SIXRAY, MasksSource
from pipeline.sources.mvtec import MVTEC, MvtecSource
from pipeline.sources.text_boxes import TextBoxSource
from pipeline.sources.voc import VocSource
from pipeline.sources.yolo import YoloSource

DETECTIONS: dict[str, type[DetectionSource]] = {
    "coco": CocoSource,
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
CLASSES = {"mvtec": MVTEC, "sixray": SIXRAY}  # where the parameters say none
GENERATED = "generated"  # the folder beside the catalogue that the embedded scans are written to


def open_source(settings: ScanSettings, scans_folder: Path) -> ScanSource:
    """The source named by `settings`; `scans_folder` is where the `scans` stage writes."""
    if settings.source == "embedded":
        return EmbeddedSource(scans_folder / GENERATED)
    folder = Path(settings.folder)
    if settings.source == "cifar10":
        return Cifar10Source(folder, settings.abnormal_class)
    classes = CLASSES.get(settings.source, ClassMap({}))
    if settings.classes:
        classes = ClassMap(settings.classes)
    if settings.source in DETECTIONS:
        return DETECTIONS[settings.source](folder, classes, settings.unannotated)
    return OTHERS[settings.source](folder, classes)
