"""Scans beside index masks: ``normal/``, ``threat/`` and ``masks/``, as the SIXray subset comes."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.images import Pixels, read_index_mask
from pipeline.scans.scan import Listing, Mask, Scan, ScanEntry
from pipeline.scans.sources.classes import ClassMap
from pipeline.scans.sources.detections import check_size, read_scan
from pipeline.scans.sources.folders import id_below, list_files, without_repeats

SIXRAY = ClassMap({1: "gun", 2: "knife"})  # values of a mask; 0 is background
T = TypeVar("T")
FOLDERS = ("normal", "threat", "masks")


class MasksSource:
    """A folder of normal scans, threat scans, and a mask for each threat scan by the same name.

    `classes` says what the values of the masks are. A mask has the size of its scan; where the set
    is `stretched` (SIXray), it is brought to it by nearest neighbour.
    """

    def __init__(self, folder: Path, classes: ClassMap, *, stretched: bool = False) -> None:
        self.folder = folder
        self.classes = classes
        self.stretched = stretched

    def meaning(self, name: str) -> str:
        """A class of the set here: normal, ignored, or an abnormal class."""
        return self.classes.meaning(name)

    def listing(self) -> Listing:
        """Every scan; the ids are ``normal/<name>`` and ``threat/<name>``."""
        files = list_files(self.folder)
        missing = [name for name in FOLDERS if not (self.folder / name).is_dir()]
        if missing and missing != ["threat", "masks"]:  # which a set of normals alone lacks
            raise InputError(f"{self.folder / missing[0]}: no such folder: expected {FOLDERS}")
        within: dict[str, list[Path]] = {name: [] for name in FOLDERS}
        bad = []
        for path in files.images:
            place = path.relative_to(self.folder).parts[0]
            if place in within:
                within[place].append(path)
            else:
                bad.append(BadInput(str(path), "an image outside of normal/, threat/ and masks/"))
        threats, names, more = self._threats(within["threat"], within["masks"])
        masked = {self._name(path) for path in within["masks"]} - {
            self._name(path) for path in within["threat"]
        }
        bad += [
            BadInput(str(path), "a normal scan with a mask: move it to threat/, or remove the mask")
            for path in within["normal"]
            if self._name(path) in masked
        ]
        normal = [
            ScanEntry(id_below(self.folder, path), (path,), ())
            for path in within["normal"]
            if self._name(path) not in masked
        ]
        entries, repeats = without_repeats([*normal, *threats])
        return Listing(
            files,
            entries,
            [*files.bad, *bad, *more, *repeats],
            names=names,
            annotations=frozenset(within["masks"]),
        )

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan; every connected part of a mask value is an object of its own."""
        return read_scan(entry, self.classes, self._objects)

    def _threats(
        self, scans: list[Path], masks: list[Path]
    ) -> tuple[list[ScanEntry], frozenset[str], list[BadInput]]:
        """The threat scans, the values that their masks have, and what cannot be used."""
        waiting, bad = unique_names(masks, self._name)
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
        bad += [
            BadInput(str(path), "a mask without a scan in threat/") for path in waiting.values()
        ]
        return entries, frozenset(seen), bad

    def _name(self, path: Path) -> str:
        """A file's path below normal/, threat/ or masks/, without the suffix."""
        return id_below(self.folder, path).partition("/")[2]

    def _objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        for path in entry.files[1:]:
            mask = read_index_mask(path)
            if self.stretched:
                stretched = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
                mask = stretched.astype(np.uint8, copy=False)
            check_mask(path, mask, size)
            for value in sorted(set(np.unique(mask).tolist()) - {0}):
                for part in connected_parts(mask == value):
                    yield str(value), part


def unique_names(
    masks: Iterable[Path], name_of: Callable[[Path], T]
) -> tuple[dict[T, Path], list[BadInput]]:
    """The masks by their scans' names, and those of which two have the same name."""
    found: dict[T, list[Path]] = {}
    for path in masks:
        found.setdefault(name_of(path), []).append(path)
    bad = [
        BadInput(str(path), f"one of {len(paths)} masks of one name: keep one")
        for paths in found.values()
        for path in paths
        if len(paths) > 1
    ]
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}, bad


def check_mask(path: Path, mask: Pixels, size: tuple[int, int]) -> None:
    """Refuse a mask (H, W) that has not the `size`, (width, height), of its scan.

    Raises:
        InputError: names the mask and both sizes.
    """
    try:
        check_size((mask.shape[1], mask.shape[0]), size)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def connected_parts(mask: Mask) -> list[Mask]:
    """The connected parts of a mask."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return [labels == label for label in range(1, count)]


def _values(path: Path) -> frozenset[str]:
    """The values of a mask, but for the background's 0."""
    values = set(np.unique(read_index_mask(path)).tolist()) - {0}
    if not values:
        raise InputError(f"{path}: an empty mask: put its scan into normal/")
    return frozenset(str(value) for value in values)
