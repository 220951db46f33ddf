"""What COCO, VOC and YOLO have in common: scans with objects that have a class and a box or mask.

The formats are read by supervision, one object at a time, so that each fault is known by its file
and object, and no more than one scan's masks are in memory.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

import numpy as np
from supervision import Detections

from pipeline.bad_input import BadInput
from pipeline.images import read_image
from pipeline.sources.base import Listing, Mask, Region, Scan, ScanEntry
from pipeline.sources.classes import ClassMap
from pipeline.sources.folders import find_images, id_below, without_repeats
from pipeline.windows import NORMAL

FAR = 10


@dataclass(frozen=True)
class Labels:
    """What is known of a scan's objects before its pixels are read.

    Attributes:
        names: their classes, in the set's own words.
        files: the files of labels that are the scan's own.
        records: digest of its labels in a file that it shares with others, where it does.
    """

    names: frozenset[str]
    files: tuple[Path, ...] = ()
    records: str | None = None


class DetectionSource(ABC):
    """A folder of scans with labelled objects; a scan without any is normal."""

    def __init__(self, folder: Path, classes: ClassMap) -> None:
        self.folder = folder
        self.classes = classes

    @abstractmethod
    def labels(self, images: Sequence[Path]) -> tuple[Mapping[Path, Labels], list[BadInput]]:
        """The scans among the images with their labels, and the bad files."""

    @abstractmethod
    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterable[tuple[str, Mask]]:
        """The class and mask of each object of a scan whose image is `size`, (width, height).

        Raises:
            InputError: an object is not as the format has it.
        """

    def listing(self) -> Listing:
        """Every scan; its id is its image's path below the folder, without the suffix."""
        images, bad = find_images(self.folder)
        scans, more = self.labels(images)
        self.classes.check(
            (name for labels in scans.values() for name in labels.names), self.folder
        )
        entries, repeats = without_repeats(
            ScanEntry(
                id_below(self.folder, image),
                (image, *labels.files),
                self.classes.abnormal(labels.names),
                records=labels.records,
            )
            for image, labels in scans.items()
        )
        # The folder is walked for images and for labels, so some is found twice.
        return Listing(entries, list(dict.fromkeys([*bad, *more, *repeats])))

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan; objects of normal classes are left out."""
        image = read_image(entry.files[0])
        height, width = image.shape[:2]
        regions = [
            Region(self.classes.meaning(name), mask)
            for name, mask in self.objects(entry, (width, height))
            if self.classes.meaning(name) != NORMAL
        ]
        return Scan(entry.scan_id, image, tuple(regions))


def check_reach(values: Iterable[float], size: tuple[int, int]) -> None:
    """Refuse a polygon that reaches far out of the image, before its corners become integers.

    Raises:
        ValueError: a coordinate is more than `FAR` times the image's longer side from its corner.
    """
    if any(abs(value) > FAR * max(size) for value in values):
        raise ValueError("a polygon that reaches far out of the image")


def mask_of(found: Detections, size: tuple[int, int]) -> Mask:
    """The mask (H, W) of a single object: its own, or else its box, filled.

    What reaches over the edge of the image is cut off.

    Raises:
        ValueError: the box has no area or lies outside of the image, or the mask is empty.
    """
    width, height = size
    left, top, right, bottom = found.xyxy[0].tolist()
    if right <= left or bottom <= top:
        raise ValueError("a box without area")
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise ValueError(f"a box outside of the image of {width}x{height}")
    if found.mask is not None:
        own = np.asarray(found.mask[0], dtype=np.bool_)
        if not own.any():
            raise ValueError("an empty polygon or mask")
        return own
    mask = np.zeros((height, width), dtype=np.bool_)
    rows, columns = _pixels(top, bottom, height), _pixels(left, right, width)
    mask[rows, columns] = True
    return mask


def _pixels(start: float, stop: float, length: int) -> slice:
    """The pixels whose centres lie between two edges of an axis, or else the one at the middle."""
    first, end = (min(max(ceil(edge - 0.5), 0), length) for edge in (start, stop))
    if first < end:
        return slice(first, end)
    middle = min(max(floor((start + stop) / 2), 0), length - 1)
    return slice(middle, middle + 1)
