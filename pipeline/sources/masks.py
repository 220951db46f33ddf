"""Scans beside index masks: ``normal/``, ``threat/`` and ``masks/``, as the SIXray subset comes."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pipeline.bad_input import BadInput, as_bad
from pipeline.errors import InputError
from pipeline.images import Pixels, read_image, read_index_mask
from pipeline.sources.base import Listing, Mask, Region, Scan, ScanEntry
from pipeline.sources.classes import ClassMap
from pipeline.sources.folders import find_images, id_below, without_repeats
from pipeline.windows import NORMAL

SIXRAY = ClassMap({1: "gun", 2: "knife"})  # values of a mask; 0 is background


class MasksSource:
    """A folder of normal scans, threat scans, and a mask for each threat scan by the same name.

    `classes` says what the values of the masks are. A mask has the size of its scan; where the set
    is `stretched` (SIXray), it is brought to it by nearest neighbour.
    """

    def __init__(self, folder: Path, classes: ClassMap, *, stretched: bool = False) -> None:
        self.folder = folder
        self.classes = classes
        self.stretched = stretched

    def listing(self) -> Listing:
        """Every scan; the ids are ``normal/<name>`` and ``threat/<name>``."""
        normal, bad = find_images(self.folder / "normal")
        threat, more = self._threat_entries()
        entries, repeats = without_repeats(
            [*(ScanEntry(id_below(self.folder, path), (path,), ()) for path in normal), *threat]
        )
        return Listing(entries, [*bad, *more, *repeats])

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan; every connected part of a mask value is a region of its own."""
        image = read_image(entry.files[0])
        regions = [region for path in entry.files[1:] for region in self._regions(path, image)]
        return Scan(entry.scan_id, image, tuple(regions))

    def _threat_entries(self) -> tuple[list[ScanEntry], list[BadInput]]:
        scans, bad = find_images(self.folder / "threat")
        masks, more = find_images(self.folder / "masks")
        bad += more
        waiting = {id_below(self.folder / "masks", path): path for path in masks}
        entries = []
        for scan in scans:
            name = id_below(self.folder / "threat", scan)
            mask = waiting.pop(name, None)
            if mask is None:
                expected = self.folder / "masks" / name
                bad.append(
                    BadInput(str(scan), f"a threat scan without a mask: expected {expected}.png")
                )
                continue
            try:
                names = _values(mask)
                self.classes.check(names, mask)
            except InputError as error:
                bad.append(as_bad(mask, error))
                continue
            classes = self.classes.abnormal(names)
            entries.append(ScanEntry(id_below(self.folder, scan), (scan, mask), classes))
        bad += [
            BadInput(str(path), "a mask without a scan in threat/") for path in waiting.values()
        ]
        return entries, bad

    def _regions(self, path: Path, image: Pixels) -> Iterator[Region]:
        mask, (height, width) = read_index_mask(path), image.shape[:2]
        if self.stretched:
            stretched = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            mask = stretched.astype(np.uint8, copy=False)
        elif mask.shape != (height, width):
            raise InputError(
                f"{path}: a mask of {mask.shape[1]}x{mask.shape[0]} for a scan of {width}x{height}"
            )
        for value in sorted(set(np.unique(mask).tolist()) - {0}):
            meaning = self.classes.meaning(str(value))
            if meaning != NORMAL:
                yield from (Region(meaning, part) for part in _parts(mask == value))


def _values(path: Path) -> frozenset[str]:
    """The values of a mask, but for the background's 0."""
    values = set(np.unique(read_index_mask(path)).tolist()) - {0}
    if not values:
        raise InputError(f"{path}: an empty mask: put its scan into normal/")
    return frozenset(str(value) for value in values)


def _parts(mask: Mask) -> list[Mask]:
    """The connected parts of a mask."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return [labels == label for label in range(1, count)]
