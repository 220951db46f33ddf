"""What every format with labelled objects shares: each object has a class, and a box or a mask.

The formats are read by supervision, one object at a time, so that each fault is known by its file
and object, and no more than one scan's masks are in memory.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor
from pathlib import Path
from typing import ClassVar

import numpy as np
from supervision import Detections

from pipeline.bad_input import BadInput, Unannotated
from pipeline.errors import InputError
from pipeline.images import read_image
from pipeline.sources.base import Listing, Mask, Part, Region, Scan, ScanEntry, SetFiles
from pipeline.sources.classes import ClassMap
from pipeline.sources.folders import id_below, list_set, without_repeats
from pipeline.sources.pairing import pair, part_of
from pipeline.sources.part_lists import read_part_lists
from pipeline.windows import NORMAL

FAR = 10
TAKEN_FOR_NORMAL = "images without annotation, taken for normal (scans.unannotated)"
MAY_BE_LABELS = (".csv", ".json", ".txt", ".xml")  # of another format, by an image's name


@dataclass(frozen=True)
class Labels:
    """The objects of a scan, as far as they are known before its pixels are read.

    Attributes:
        names: their classes, in the set's own words.
        files: the files of labels that are the scan's own.
        records: digest of its labels in a file that it shares with others, where it does.
        part: the set's part that its labels name.
    """

    names: frozenset[str]
    files: tuple[Path, ...] = ()
    records: str | None = None
    part: Part | None = None


@dataclass
class LabelledSet:
    """The labels of a set.

    Attributes:
        scans: the labels of each image that has some.
        bad: what cannot be used.
        refused: the images that `bad` speaks of, by themselves or by their labels.
        orphans: files of labels that belong to no image.
        unread: files of labels of many images that cannot be read.
        annotations: the files that say something of scans or classes.
        ignored: files that are left alone on purpose, with the reason.
        notes: what was read in a way that a user should know of, and how often.
    """

    scans: dict[Path, Labels] = field(default_factory=dict)
    bad: list[BadInput] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)
    orphans: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    annotations: set[Path] = field(default_factory=set)
    ignored: dict[Path, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def refuse(self, image: Path, bad: BadInput) -> None:
        """Take an image out, so that it cannot count as one without labels."""
        self.refused.add(image)
        self.bad.append(bad)

    def pair(self, files: SetFiles, labels: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
        """Pair images with files of labels by their names; the others become `orphans`."""
        pairs = pair(files.folder, files.images, labels)
        for path, reason in pairs.clashes.items():
            self.refuse(path, BadInput(str(path), reason))
        self.orphans += pairs.alone
        self.annotations.update(pairs.labels.values())
        yield from pairs.labels.items()


class DetectionSource(ABC):
    """A folder of scans with labelled objects; a scan whose labels hold no object is normal.

    `unannotated` says what an image is that has no labels at all; None is the format's own rule,
    unless there are labels that no image has the name of.
    """

    format_rule: ClassVar[Unannotated] = "bad"

    def __init__(
        self, folder: Path, classes: ClassMap, unannotated: Unannotated | None = None
    ) -> None:
        self.folder = folder
        self.classes = classes
        self.unannotated = unannotated

    def meaning(self, name: str) -> str:
        """A class of the set here: normal, ignored, or an abnormal class."""
        return self.classes.meaning(name)

    @abstractmethod
    def labels(self, files: SetFiles) -> LabelledSet:
        """Read the labels of every image.

        Raises:
            InputError: the set has no labels of this format, or says nothing of its classes.
        """

    @abstractmethod
    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterable[tuple[str, Mask]]:
        """The class and mask of each object of a scan whose image is `size`, (width, height).

        Raises:
            InputError: an object is not as the format has it, or does not fit the image.
        """

    def listing(self) -> Listing:
        """Every scan; its id is its image's path below the folder, without the suffix."""
        files = list_set(self.folder)
        lists = read_part_lists(files)
        others = tuple(path for path in files.others if path not in lists.files)
        found = self.labels(replace(files, others=others))
        found.annotations.update(lists.files)
        self._name_orphans(found)
        self._settle_unannotated(files, found)
        names = frozenset(name for labels in found.scans.values() for name in labels.names)
        self.classes.check(names, self.folder)
        if lists.torn:
            found.notes[f"images in lists of several parts, such as {lists.torn[0]}"] = len(
                lists.torn
            )
        entries, repeats = without_repeats(
            ScanEntry(
                id_below(self.folder, image),
                (image, *labels.files),
                self.classes.abnormal(labels.names),
                part=lists.parts.get(image) or part_of(self.folder, image) or labels.part,
                records=labels.records,
            )
            for image, labels in found.scans.items()
        )
        return Listing(
            files,
            entries,
            [*files.bad, *found.bad, *repeats],
            names=names,
            annotations=frozenset(found.annotations),
            ignored=found.ignored,
            notes=found.notes,
        )

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan; objects of normal classes are no regions."""
        return read_scan(entry, self.classes, self.objects)

    def _name_orphans(self, found: LabelledSet) -> None:
        """Name labels without an image; without any image that has labels, refuse the set."""
        orphans = found.orphans
        if orphans and not found.scans and not found.refused:
            raise InputError(
                f"{self.folder}: no image has labels, though there are {len(orphans)} files of "
                f"labels, such as {orphans[0]}: give labels the names of their images"
            )
        found.bad += [BadInput(str(path), "labels, but no image has its name") for path in orphans]
        found.annotations.update(orphans)

    def _settle_unannotated(self, files: SetFiles, found: LabelledSet) -> None:
        """Take images without labels as the rule says, unless their labels may lie elsewhere."""
        left = [
            image
            for image in files.images
            if image not in found.scans
            and image not in found.refused
            and image not in found.ignored
        ]
        texts = files.ending_in(*MAY_BE_LABELS)
        elsewhere = [path for path in texts if path not in found.annotations]
        for image, path in pair(self.folder, left, elsewhere).labels.items():
            reason = f"no labels that are read here, but {path} has its name: which scans.source"
            found.refuse(image, BadInput(str(image), f"{reason} reads it?"))
        left = [image for image in left if image not in found.refused]
        if not left:
            return
        doubtful = [*found.unread, *([] if self.unannotated else found.orphans)]
        rule = "bad" if doubtful else self.unannotated or self.format_rule
        if rule == "normal":
            found.scans |= dict.fromkeys(left, Labels(frozenset()))
            found.notes[TAKEN_FOR_NORMAL] = len(left)
            return
        advice = (
            f"their labels may be in {doubtful[0]}: mend that file first"
            if doubtful
            else "annotate them, or set scans.unannotated to normal if they hold no threat"
        )
        reason = f"{len(left)} images without annotation, such as {left[0]}: {advice}"
        found.refused |= set(left)
        found.bad.append(BadInput(str(self.folder), reason, len(left)))


def read_scan(
    entry: ScanEntry,
    classes: ClassMap,
    objects: Callable[[ScanEntry, tuple[int, int]], Iterable[tuple[str, Mask]]],
) -> Scan:
    """Read a scan's image, and its `objects`; those of normal classes are no regions."""
    image = read_image(entry.files[0])
    height, width = image.shape[:2]
    found = list(objects(entry, (width, height)))
    regions = [
        Region(classes.meaning(name), mask)
        for name, mask in found
        if classes.meaning(name) != NORMAL
    ]
    return Scan(entry.scan_id, image, tuple(regions), tuple(name for name, _ in found))


def check_size(annotated: tuple[object, object], size: tuple[int, int]) -> None:
    """Refuse labels made for an image of another size; both are (width, height).

    Raises:
        ValueError: the sizes differ.
    """
    if annotated != size:
        raise ValueError(
            "annotated as {}x{}, but the image is {}x{}: annotate it as it is".format(
                *annotated, *size
            )
        )


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
