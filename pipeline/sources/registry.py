"""Opens the scan source that the parameters name."""

from collections.abc import Callable
from pathlib import Path

from pipeline.settings import ScanSettings
from pipeline.sources.base import ScanSource
from pipeline.sources.cifar10 import Cifar10Source
from pipeline.sources.class_folders import ClassFolderSource
from pipeline.sources.classes import ClassMap
from pipeline.sources.coco import CocoSource
from pipeline.sources.embedded.coco import EmbeddedSource
from pipeline.sources.masks import SIXRAY, MasksSource
from pipeline.sources.voc import VocSource
from pipeline.sources.yolo import YoloSource

LABELLED: dict[str, Callable[[Path, ClassMap], ScanSource]] = {
    "class_folders": ClassFolderSource,
    "coco": CocoSource,
    "masks": MasksSource,
    "voc": VocSource,
    "yolo": YoloSource,
}
GENERATED = "generated"  # the folder beside the catalogue that the embedded scans are written to


def open_source(settings: ScanSettings, scans_folder: Path) -> ScanSource:
    """The source named by `settings`; `scans_folder` is where the `scans` stage writes."""
    if settings.source == "embedded":
        return EmbeddedSource(scans_folder / GENERATED)
    folder, classes = Path(settings.folder), ClassMap(settings.classes)
    if settings.source == "cifar10":
        return Cifar10Source(folder, settings.abnormal_class)
    if settings.source == "sixray":
        return MasksSource(folder, classes if settings.classes else SIXRAY, stretched=True)
    return LABELLED[settings.source](folder, classes)
