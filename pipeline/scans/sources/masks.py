"""Scans with index masks: ``normal/``, ``threat/``, ``masks/``, the layout of a SIXray subset."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.classes import ClassMap
from pipeline.scans.images import read_index_mask
from pipeline.scans.scan import Listing, Mask, Scan, ScanEntry
from pipeline.scans.sources.annotated_source import check_size, read_scan
from pipeline.scans.sources.folders import (
    ALL_NORMAL,
    faults_of,
    id_below,
    list_files,
    without_repeats,
)
from pipeline.scans.sources.pairing import grouped

SIXRAY = ClassMap({1: "gun", 2: "knife"})  # values of a mask; 0 is background
T = TypeVar("T")
FOLDERS = ("normal", "threat", "masks")
ORPHAN = "add the image, or remove the mask"


class MasksSource:
    """A folder of normal scans, threat scans, and a mask of the same name for each threat scan.

    `classes` gives the meaning of the masks' values. A mask must have the size of its scan, unless
    `stretched` (SIXray): then masks are resized to their scans by nearest neighbour.
    """

    def __init__(self, folder: Path, classes: ClassMap, *, stretched: bool = False) -> None:
        self.folder = folder
        self.classes = classes
        self.stretched = stretched

    def listing(self) -> Listing:
        """List every scan; the ids are ``normal/<name>`` and ``threat/<name>``.

        Raises:
            InputError: the folder or ``normal/`` is missing, or one of the other two, but not both.
        """
        files = list_files(self.folder)
        missing = [name for name in FOLDERS if not (self.folder / name).is_dir()]
        if missing and missing != ["threat", "masks"]:  # a set of normal scans only lacks both
            raise InputError(
                f"{self.folder / missing[0]}: no such folder: expected normal/, threat/ and "
                f"masks/, {ALL_NORMAL}"
            )
        within: dict[str, list[Path]] = {name: [] for name in FOLDERS}
        bad = []
        for path in files.images:
            top_folder = path.relative_to(self.folder).parts[0]
            if top_folder in within:
                within[top_folder].append(path)
            else:
                bad.append(BadInput(str(path), "an image outside of normal/, threat/ and masks/"))
        entries, names, more = self._threats(within["threat"], within["masks"])
        masked = set(map(self._name, within["masks"])).difference(map(self._name, within["threat"]))
        for path in within["normal"]:
            if self._name(path) in masked:
                reason = "a normal scan with a mask: move it to threat/, or remove the mask"
                bad.append(BadInput(str(path), reason))
            else:
                entries.append(ScanEntry(id_below(self.folder, path), (path,), ()))
        usable, repeats = without_repeats(entries)
        return Listing(
            files,
            usable,
            [*files.bad, *bad, *more, *repeats],
            names=names,
            annotations=frozenset(within["masks"]),
        )

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan; every connected component of a mask value is an object of its own."""
        return read_scan(entry, self.classes, self._objects)

    def _threats(
        self, scans: list[Path], masks: list[Path]
    ) -> tuple[list[ScanEntry], frozenset[str], list[BadInput]]:
        """Return the threat scans, the values in their masks, and the bad files."""
        waiting, bad = masks_by_name(masks, self._name)
        entries = []
        seen: set[str] = set()
        for scan in scans:
            name = self._name(scan)
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
            seen |= names
            classes = self.classes.abnormal(names)
            entries.append(ScanEntry(id_below(self.folder, scan), (scan, mask), classes))
        reason = f"a mask without a scan in threat/: {ORPHAN}"
        bad += [BadInput(str(path), reason) for path in waiting.values()]
        return entries, frozenset(seen), bad

    def _name(self, path: Path) -> str:
        """Return a file's path below normal/, threat/ or masks/, without the suffix."""
        return id_below(self.folder, path).partition("/")[2]

    def _objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        for path in entry.files[1:]:
            mask = read_index_mask(path)
            if self.stretched:
                stretched = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
                mask = stretched.astype(np.uint8, copy=False)
            with faults_of(path):
                check_size(mask.shape[::-1], size)
            for value in sorted(set(np.unique(mask).tolist()) - {0}):
                for part in connected_components(mask == value):
                    yield str(value), part


def masks_by_name(
    masks: Iterable[Path], name_of: Callable[[Path], T]
) -> tuple[dict[T, Path], list[BadInput]]:
    """Return the masks by their scans' names, and masks that share a name as bad input."""
    masks_of = grouped(masks, name_of)
    bad = [
        BadInput(str(path), f"one of {len(paths)} masks with the same name: keep one")
        for paths in masks_of.values()
        for path in paths
        if len(paths) > 1
    ]
    return {name: paths[0] for name, paths in masks_of.items() if len(paths) == 1}, bad


def connected_components(mask: Mask) -> Iterator[Mask]:
    """Yield a mask for each connected component of a mask, so that only one is in memory."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    yield from (labels == label for label in range(1, count))


def _values(path: Path) -> frozenset[str]:
    """Return the values in a mask, without 0, the background."""
    values = set(np.unique(read_index_mask(path)).tolist()) - {0}
    if not values:
        raise InputError(f"{path}: an empty mask: put its scan into normal/")
    return frozenset(str(value) for value in values)
