"""Opens the scan source that the parameters name."""

from pathlib import Path

from pipeline.settings import ScanSettings
from pipeline.sources.base import ScanSource
from pipeline.sources.cifar10 import Cifar10Source
from pipeline.sources.embedded.coco import EmbeddedSource
from pipeline.sources.sixray import SixraySource

GENERATED = "generated"  # the folder beside the catalogue that the embedded scans are written to


def open_source(settings: ScanSettings, scans_folder: Path) -> ScanSource:
    """The source named by `settings`; `scans_folder` is where the `scans` stage writes."""
    if settings.source == "embedded":
        return EmbeddedSource(scans_folder / GENERATED)
    if settings.source == "sixray":
        return SixraySource(Path(settings.folder))
    return Cifar10Source(Path(settings.folder), settings.abnormal_class)
