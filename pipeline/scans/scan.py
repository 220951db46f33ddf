"""The results of a scan source: scans with their regions, and a listing made before reading."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import IGNORED, Image
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap

Mask = NDArray[np.bool_]  # (H, W), True on the object

Part = Literal["train", "validation", "test"]

# The usual names of folders and lists of a set's own parts.
PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def suffix_text(path: Path) -> str:
    """Return a file's suffix in lower case, to count files by; "without suffix" if it has none."""
    return path.suffix.lower() or "without suffix"


@dataclass(frozen=True)
class Region:
    """One abnormal object, or one ignored object, in a scan.

    Attributes:
        class_name: the abnormal class, for instance ``knife``, or `IGNORED`.
        mask: (H, W) bool, True on the object's pixels; a box is a filled rectangle.
    """

    class_name: str
    mask: Mask


@dataclass(frozen=True)
class Scan:
    """One scan that has been read.

    Attributes:
        scan_id: unique within its source.
        image: (H, W, C) uint8.
        regions: the abnormal and the ignored objects; a normal scan has no abnormal ones.
        objects: the set's own class name of every object, including objects of normal classes.
    """

    scan_id: str
    image: Image
    regions: tuple[Region, ...]
    objects: tuple[str, ...] = ()

    def threats(self) -> Mask:
        """Return (H, W) True on the threats; ignored objects are none."""
        mask = np.zeros(self.image.shape[:2], dtype=np.bool_)
        for region in self.regions:
            mask |= region.mask & (region.class_name != IGNORED)
        return mask


@dataclass(frozen=True)
class ScanEntry:
    """The facts about a scan before it is read, enough to split the set.

    Attributes:
        scan_id: unique within its source.
        files: the files of this scan only, for their digests; the image first.
        classes: its abnormal classes, sorted; empty for a normal scan.
        part: the set's own part of the scan; None if the set names no part.
        records: digest of the scan's records in a file of several scans; None without such a file.
    """

    scan_id: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    part: Part | None = None
    records: str | None = None


@dataclass(frozen=True)
class SetFiles:
    """Every file below a set's folder, each in one of four groups.

    Attributes:
        folder: the set's folder.
        images: image files, sorted; recognised by suffix, or by content if the suffix is not
            in `IMAGE_SUFFIXES`.
        others: all other files, sorted: annotations, and files that no source reads.
        hidden: hidden files and folders, which are not read, sorted.
        bad: links, special files and images of other formats, with the reason.
    """

    folder: Path
    images: tuple[Path, ...]
    others: tuple[Path, ...]
    hidden: tuple[Path, ...] = ()
    bad: tuple[BadInput, ...] = ()

    def ending_in(self, suffix: str) -> list[Path]:
        """Return the files of `others` with the suffix (in lower case), in any case."""
        return [path for path in self.others if path.suffix.lower() == suffix]


@dataclass(frozen=True)
class Listing:
    """The scans and files that a source found.

    Attributes:
        files: every file below the folder.
        entries: every usable scan, sorted by id.
        bad: every file that cannot be used, with the reason.
        names: the set's own names of the classes that occur in scans.
        annotations: the files with information on scans or classes.
        ignored: files left out on purpose, with the reason. Any file that is no scan, no
            annotation, not bad and not in `ignored` has another format.
        notes: remarks for the user on how files were read, with the number of cases.
    """

    files: SetFiles
    entries: list[ScanEntry]
    bad: list[BadInput] = field(default_factory=list)
    names: frozenset[str] = frozenset()
    annotations: frozenset[Path] = frozenset()
    ignored: Mapping[Path, str] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)


class ScanSource(Protocol):
    """A reader of the scans in a folder, by the meanings of its classes."""

    classes: ClassMap

    def listing(self) -> Listing:
        """List every scan of the folder, without reading pixels.

        Raises:
            InputError: the folder is missing, empty or not laid out as the source expects, or
                `scans.classes` lacks a class of the set.
        """
        ...

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan.

        Raises:
            InputError: a file of the scan cannot be read, or does not fit the others.
        """
        ...
