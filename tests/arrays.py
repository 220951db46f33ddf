"""A scan source for tests: arrays in files, of any number of channels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.common.errors import InputError
from pipeline.scans.catalogue import CatalogueRow, read_catalogue, write_catalogue
from pipeline.scans.classes import AS_NAMED
from pipeline.scans.scan import Listing, Region, Scan, ScanEntry


class ArraySource:
    """Reads ``<name>.npy``; of a scan with a class, the upper left quarter is the region."""

    classes = AS_NAMED

    def listing(self) -> Listing:
        raise NotImplementedError

    def read(self, entry: ScanEntry) -> Scan:
        try:
            image = np.load(entry.files[0])
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{entry.files[0]}: cannot be read: {error}") from None
        mask = np.zeros(image.shape[:2], dtype=np.bool_)
        mask[: len(mask) // 2, : mask.shape[1] // 2] = True
        return Scan(entry.scan_id, image, tuple(Region(name, mask) for name in entry.classes))


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, image)


def clutter(seed: int, channels: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (height, width, channels), dtype=np.uint8)


def make_set(
    folder: Path, channels: int = 3, scans: int = 12, changed: Mapping[str, np.ndarray] = {}
) -> list[CatalogueRow]:
    """Scans s00, s01 and so on: of six in a row one validates, one tests, and one is abnormal."""
    splits = {}
    entries = []
    for number in range(scans):
        name = f"s{number:02d}"
        path = folder / "scans" / f"{name}.npy"
        save(path, changed.get(name, clutter(number, channels)))
        abnormal = number % 6 == 5
        entries.append(ScanEntry(name, (path,), ("knife",) if abnormal else ()))
        splits[name] = "test" if number % 6 > 3 else "validation" if number % 6 == 3 else "train"
    write_catalogue(folder / "catalogue", entries, splits)
    return read_catalogue(folder / "catalogue")
