"""What a scan source gives: scans with their regions, and a listing made without reading pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Image
from pipeline.scans.bad_input import BadInput

Mask = NDArray[np.bool_]  # (H, W), True on the object

Part = Literal["train", "validation", "test"]

# What folders and lists of a set's own parts are called.
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


@dataclass(frozen=True)
class Region:
    """One abnormal object in a scan, or one to be ignored.

    Attributes:
        class_name: the abnormal class, for instance ``knife``, or `IGNORED`.
        mask: (H, W) bool, True on the object's pixels; a box is a filled rectangle.
    """

    class_name: str
    mask: Mask


@dataclass(frozen=True)
class Scan:
    """One scan, read.

    Attributes:
        scan_id: unique within its source.
        image: (H, W, C) uint8.
        regions: the abnormal and the ignored objects, none in a normal scan.
        objects: the class of every object in the set's own words, those of normal classes too.
    """

    scan_id: str
    image: Image
    regions: tuple[Region, ...]
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScanEntry:
    """What is known of a scan before it is read: enough to split by.

    Attributes:
        scan_id: unique within its source.
        files: the files that are its own, for their digests; the image first.
        classes: its abnormal classes, sorted; empty for a normal scan.
        part: the set's own part that it belongs to, None where the set names none for it.
        records: digest of its records in a file that it shares with other scans, where it does.
    """

    scan_id: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    part: Part | None = None
    records: str | None = None


@dataclass(frozen=True)
class SetFiles:
    """Every file below a set's folder, each in one of the groups.

    Attributes:
        folder: the set's folder.
        images: files that are read as images, sorted; by suffix, or by content where the suffix
            is another.
        others: every other file, sorted: annotations, and files that no source reads.
        hidden: hidden files and folders, which are left alone, sorted.
        bad: links, special files and images of other formats, with the reason.
    """

    folder: Path
    images: tuple[Path, ...]
    others: tuple[Path, ...]
    hidden: tuple[Path, ...] = ()
    bad: tuple[BadInput, ...] = ()

    def ending_in(self, *suffixes: str) -> list[Path]:
        """The other files that end in one of the suffixes, whatever their case."""
        return [path for path in self.others if path.suffix.lower() in suffixes]


@dataclass(frozen=True)
class Listing:
    """What a source found.

    Attributes:
        files: every file below the folder.
        entries: every scan that can be taken, sorted by id.
        bad: every file that cannot, and why.
        names: the set's own classes that some scan has.
        annotations: the files that say something of scans or classes.
        ignored: files that are left alone on purpose, with the reason. Another file that is no
            scan's, no annotation and not bad is none of this format.
        notes: what was read in a way that a user should know of, and how often.
    """

    files: SetFiles
    entries: list[ScanEntry]
    bad: list[BadInput] = field(default_factory=list)
    names: frozenset[str] = frozenset()
    annotations: frozenset[Path] = frozenset()
    ignored: Mapping[Path, str] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)


class ScanSource(Protocol):
    """Turns a folder into scans."""

    def meaning(self, name: str) -> str:
        """A class of the set's own words here: normal, `IGNORED`, or an abnormal class."""
        ...

    def listing(self) -> Listing:
        """Every scan of the folder, found without reading pixels.

        Raises:
            InputError: the folder is missing, empty or not laid out as the source expects, or
                `scans.classes` does not say what a class is.
        """
        ...

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan.

        Raises:
            InputError: a file of the scan cannot be read, or does not fit the others.
        """
        ...
