"""Scans beside index masks: ``normal/``, ``threat/`` and ``masks/``, as the SIXray subset comes."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.errors import InputError
from pipeline.images import list_images, read_index_mask, read_rgb
from pipeline.sources.base import Mask, Region, Scan, ScanEntry

CLASSES = {1: "gun", 2: "knife"}  # values of a mask; 0 is background


class SixraySource:
    """A folder of normal scans, threat scans, and a mask for each threat scan by the same name.

    A mask may have another size than its scan: it is stretched to it by nearest neighbour.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[ScanEntry]:
        """Every scan, sorted by id; the ids are ``normal/<name>`` and ``threat/<name>``."""
        normal = [
            ScanEntry(f"normal/{path.stem}", (path,), ())
            for path in list_images(self.folder / "normal")
        ]
        return sorted([*normal, *self._threat_entries()], key=lambda entry: entry.scan_id)

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan; every connected part of a mask value is a region of its own."""
        image = read_rgb(entry.files[0])
        if len(entry.files) == 1:
            return Scan(entry.scan_id, image, ())
        return Scan(entry.scan_id, image, _regions(entry.files[1], image.shape[:2]))

    def _threat_entries(self) -> list[ScanEntry]:
        scans = {path.stem: path for path in list_images(self.folder / "threat")}
        masks = {path.stem: path for path in list_images(self.folder / "masks")}
        for name in sorted(masks.keys() - scans.keys()):
            raise InputError(
                f"{masks[name]}: a mask without a scan: expected {self.folder / 'threat' / name}.*"
            )
        for name in sorted(scans.keys() - masks.keys()):
            raise InputError(
                f"{scans[name]}: a threat scan without a mask: "
                f"expected {self.folder / 'masks' / name}.png"
            )
        return [
            ScanEntry(f"threat/{name}", (scans[name], masks[name]), _classes(masks[name]))
            for name in scans
        ]


def _classes(path: Path) -> tuple[str, ...]:
    values = set(np.unique(read_index_mask(path)).tolist()) - {0}
    unknown = sorted(values - CLASSES.keys())
    if unknown:
        raise InputError(
            f"{path}: unknown class {unknown[0]}: expected 0 (background) or one of {CLASSES}"
        )
    if not values:
        raise InputError(f"{path}: an empty mask: put its scan into {path.parents[1] / 'normal'}")
    return tuple(sorted(CLASSES[value] for value in values))


def _regions(path: Path, shape: tuple[int, ...]) -> tuple[Region, ...]:
    height, width = shape[:2]
    mask = cv2.resize(read_index_mask(path), (width, height), interpolation=cv2.INTER_NEAREST)
    return tuple(
        Region(class_name, part)
        for value, class_name in CLASSES.items()
        for part in _parts(mask == value)
    )


def _parts(mask: Mask) -> list[Mask]:
    """The connected parts of a mask."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return [labels == label for label in range(1, count)]
