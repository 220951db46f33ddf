"""What a scan source gives: scans with their regions, and a listing made without reading pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3), RGB, 0 to 255, white where nothing absorbs
Mask = NDArray[np.bool_]  # (H, W), True on the object

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Region:
    """One abnormal object in a scan.

    Attributes:
        class_name: the abnormal class, for instance ``knife``.
        mask: (H, W) bool, True on the object's pixels; a box is a filled rectangle.
    """

    class_name: str
    mask: Mask


@dataclass(frozen=True)
class Scan:
    """One scan, read.

    Attributes:
        scan_id: unique within its source.
        image: (H, W, 3) uint8 RGB.
        regions: the abnormal objects, none in a normal scan.
    """

    scan_id: str
    image: Image
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class ScanEntry:
    """What is known of a scan before it is read: enough to split by.

    Attributes:
        scan_id: unique within its source.
        files: the files that it is read from, for their digests.
        classes: its abnormal classes, sorted; empty for a normal scan.
        part: the set's own part that it belongs to, where the set has official parts.
    """

    scan_id: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    part: Part | None = None


class ScanSource(Protocol):
    """Turns a folder into scans."""

    def entries(self) -> Sequence[ScanEntry]:
        """Every scan of the folder, sorted by id.

        Raises:
            InputError: the folder is missing, empty or not laid out as the source expects.
        """
        ...

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan.

        Raises:
            InputError: a file of the scan cannot be read, or does not fit the others.
        """
        ...
