"""The base of all formats with labelled objects: each object has a class, and a box or a mask.

The library supervision reads the formats, one object at a time, so that errors name the file and
the object, and only one scan's masks are in memory.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import ceil, floor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from supervision import Detections

from pipeline.common.errors import InputError
from pipeline.common.names import NORMAL
from pipeline.scans.classes import ClassMap
from pipeline.scans.images import read_image
from pipeline.scans.scan import Listing, Mask, Region, Scan, ScanEntry
from pipeline.scans.sources.folders import id_below, list_set, without_repeats
from pipeline.scans.sources.labelled_set import LabelledSet
from pipeline.scans.sources.pairing import part_of
from pipeline.scans.sources.part_lists import read_part_lists
from pipeline.scans.sources.unlabelled import decide_unlabelled
from pipeline.settings.scans import Unannotated

FAR = 10  # times the longer side of the image
MAX_MASKS = 2**31  # bytes of the masks of one scan, a byte for each pixel and object


class AnnotatedSource(ABC):
    """A folder of scans with labelled objects; a scan whose labels hold no object is normal.

    `unannotated` says whether an image without labels is normal or bad. None means `format_rule`,
    unless the labels may be in other files (`decide_unlabelled`).
    """

    format_rule: ClassVar[Unannotated] = "bad"

    def __init__(
        self, folder: Path, classes: ClassMap, unannotated: Unannotated | None = None
    ) -> None:
        self.folder = folder
        self.classes = classes
        self.unannotated = unannotated

    @abstractmethod
    def read_labels(self, labelled_set: LabelledSet) -> None:
        """Read the labels of every image of `labelled_set.files`, and add them to `labelled_set`.

        Raises:
            InputError: the set has no labels of this format, or does not name its classes.
        """

    @abstractmethod
    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterable[tuple[str, Mask]]:
        """Return the class and mask of each object of a scan; `size` of the image: (width, height).

        Raises:
            InputError: an object breaks the rules of the format, or does not fit the image.
        """

    def listing(self) -> Listing:
        """List every scan; its id is its image's path below the folder, without the suffix."""
        files = list_set(self.folder)
        lists = read_part_lists(files)
        others = tuple(path for path in files.others if path not in lists.files)
        labelled_set = LabelledSet(replace(files, others=others), notes=Counter(lists.notes))
        self.read_labels(labelled_set)
        names = frozenset(name for labels in labelled_set.scans.values() for name in labels.names)
        threats = self.classes.threats(names)
        decide_unlabelled(labelled_set, self.unannotated, self.format_rule, threats)
        labelled_set.annotations.update(lists.files)
        self.classes.check(names, self.folder)
        entries, repeats = without_repeats(
            ScanEntry(
                id_below(self.folder, image),
                (image, *labels.files),
                self.classes.abnormal(labels.names),
                part=lists.parts.get(image) or part_of(self.folder, image) or labels.part,
                records=labels.records,
            )
            for image, labels in labelled_set.scans.items()
        )
        return Listing(
            files,
            entries,
            [*files.bad, *labelled_set.bad, *repeats],
            names=names,
            annotations=frozenset(labelled_set.annotations),
            ignored=labelled_set.ignored,
            notes=labelled_set.notes,
        )

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan; objects of normal classes become no regions."""
        return read_scan(entry, self.classes, self.objects)


def read_scan(
    entry: ScanEntry,
    classes: ClassMap,
    objects: Callable[[ScanEntry, tuple[int, int]], Iterable[tuple[str, Mask]]],
) -> Scan:
    """Read a scan's image and its `objects`; objects of normal classes become no regions.

    Raises:
        InputError: the image or an object cannot be read, or the objects' masks take more than
            `MAX_MASKS` bytes.
    """
    image = read_image(entry.files[0])
    height, width = image.shape[:2]
    masks: list[tuple[str, Mask]] = []
    for item in objects(entry, (width, height)):
        masks.append(item)
        if len(masks) * width * height > MAX_MASKS:
            raise InputError(
                f"{entry.files[0]}: {len(masks)} objects or more on {width}x{height} pixels, "
                f"expected {MAX_MASKS // (width * height)} or fewer: cut it into smaller scans"
            )
    regions = [
        Region(classes.meaning(name), mask)
        for name, mask in masks
        if classes.meaning(name) != NORMAL
    ]
    return Scan(entry.scan_id, image, tuple(regions), tuple(name for name, _ in masks))


def annotated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return an annotated size; None if a side is no whole number above 0. 100.0 counts as 100."""
    whole = (
        isinstance(side, int | float) and side > 0 and side % 1 == 0 for side in (width, height)
    )
    return (int(width), int(height)) if all(whole) else None


def check_size(annotated: tuple[object, object], size: tuple[int, int]) -> None:
    """Refuse labels made for an image of another size; both are (width, height).

    Raises:
        ValueError: the sizes differ.
    """
    if annotated != size:
        raise ValueError(
            "annotated as {}x{}, but the image is {}x{}: annotate the image at this size".format(
                *annotated, *size
            )
        )


def check_reach(values: Iterable[float], size: tuple[int, int]) -> None:
    """Refuse a coordinate far outside of the image, or NaN, before it becomes an integer.

    Raises:
        ValueError: a coordinate is more than `FAR` times the image's longer side from its corner,
            or not a number.
    """
    if not all(abs(value) <= FAR * max(size) for value in values):
        raise ValueError("a coordinate far outside of the image, or not a number")


def require_pixels(values: Iterable[float]) -> None:
    """Refuse coordinates in shares of the image: some tools write them instead of pixels.

    Raises:
        ValueError: all coordinates are from 0 to 1, and not all are whole numbers.
    """
    numbers = [float(value) for value in values]
    if all(0 <= value <= 1 for value in numbers) and not all(map(float.is_integer, numbers)):
        raise ValueError("coordinates in shares of the image, expected pixels")


def mask_of(detections: Detections, size: tuple[int, int]) -> Mask:
    """Return the mask (H, W) of a single object: its own mask, or else its filled box.

    Parts outside of the image are cut off.

    Raises:
        ValueError: the box has no area or lies outside of the image, or the mask is empty.
    """
    width, height = size
    left, top, right, bottom = detections.xyxy[0].tolist()
    if right <= left or bottom <= top:
        raise ValueError(f"a box without area: {left:g} {top:g} {right:g} {bottom:g}")
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise ValueError(f"a box outside of the image of {width}x{height}")
    if detections.mask is not None:
        own = np.asarray(detections.mask[0], dtype=np.bool_)
        if not own.any():
            raise ValueError("an empty polygon or mask")
        return own
    mask = np.zeros((height, width), dtype=np.bool_)
    rows, columns = _pixels(top, bottom, height), _pixels(left, right, width)
    mask[rows, columns] = True
    return mask


def _pixels(start: float, stop: float, length: int) -> slice:
    """Return the pixels with centres between two edges of an axis, or else the middle pixel."""
    first, end = (min(max(ceil(edge - 0.5), 0), length) for edge in (start, stop))
    if first < end:
        return slice(first, end)
    middle = min(max(floor((start + stop) / 2), 0), length - 1)
    return slice(middle, middle + 1)
