"""CIFAR-10 with one class left out (section IV-A1): each image is a scan.

The 45,000 normal images of the official training part are for training. The 9,000 normal images of
the official test part and all 6,000 images of the class left out are for testing.
"""

import io
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.classes import AS_NAMED
from pipeline.scans.images import read_image
from pipeline.scans.scan import Listing, Part, Region, Scan, ScanEntry, SetFiles
from pipeline.scans.sources.folders import list_files, reading, without_repeats
from pipeline.settings.scans import CIFAR10, CIFAR10_ALIASES

CLASSES = CIFAR10
SIDE = 32
LAYOUT = "train/<class>/ and test/<class>/"
PARTS: tuple[Part, ...] = ("train", "test")
TEST_BATCH = "test_batch"
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), TEST_BATCH)

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, 32, 32, 3) RGB, labels (N,)


class Cifar10Source:
    """The official batches, or class folders: ``train/<class>/`` and ``test/<class>/``."""

    def __init__(self, folder: Path, abnormal_class: str) -> None:
        self.folder = folder
        self.classes = AS_NAMED
        self.abnormal_class = CIFAR10_ALIASES.get(abnormal_class, abnormal_class)

    def listing(self) -> Listing:
        """List every image; its id is ``<part>/<class>/<number or name>``."""
        files = list_files(self.folder)
        batches = _batch_files(self.folder)
        candidates, bad = self._batch_entries(batches) if batches else self._folder_entries(files)
        entries, repeats = without_repeats(candidates)
        return Listing(files, entries, [*([] if batches else files.bad), *bad, *repeats])

    def read(self, entry: ScanEntry) -> Scan:
        """Read one image; in the class left out, the whole image is the region."""
        path, name = entry.files[0], entry.scan_id.rsplit("/", 1)[1]
        is_batch = path.name.removesuffix(".bin") in BATCHES
        image = _read_batch(path)[0][int(name.rsplit("-", 1)[1])] if is_batch else read_image(path)
        whole = np.ones(image.shape[:2], dtype=np.bool_)
        regions = tuple(Region(name, whole) for name in entry.classes)
        return Scan(entry.scan_id, image, regions, entry.classes)

    def _batch_entries(self, batches: list[Path]) -> tuple[list[ScanEntry], list[BadInput]]:
        entries: list[ScanEntry] = []
        bad = []
        for path in batches:
            try:
                labels = _read_batch(path)[1].tolist()
            except InputError as error:
                bad.append(as_bad(path, error))
                continue
            part: Part = "test" if path.stem == TEST_BATCH else "train"
            entries += [
                self._entry(part, CLASSES[label], f"{path.stem}-{number:05d}", path)
                for number, label in enumerate(labels)
            ]
        return entries, bad

    def _folder_entries(self, files: SetFiles) -> tuple[list[ScanEntry], list[BadInput]]:
        entries: list[ScanEntry] = []
        bad: list[BadInput] = []
        for part in PARTS:
            _check_class_folders(self.folder / part)
        for path in files.images:
            part_name, *below = path.relative_to(self.folder).parts
            if part_name in PARTS and len(below) > 1:
                name = CIFAR10_ALIASES.get(below[0], below[0])
                entries.append(self._entry(part_name, name, path.stem, path))
            else:
                bad.append(BadInput(str(path), f"an image outside of {LAYOUT}"))
        return entries, bad

    def _entry(self, part: Part, class_name: str, name: str, path: Path) -> ScanEntry:
        abnormal = (class_name,) if class_name == self.abnormal_class else ()
        # All images of the class left out are for the test, whatever their official part.
        return ScanEntry(
            f"{part}/{class_name}/{name}", (path,), abnormal, "test" if abnormal else part
        )


def _batch_files(folder: Path) -> list[Path]:
    """Return the official batch files, binary or else pickled; empty if none exists."""
    for suffix in (".bin", ""):
        paths = [folder / f"{name}{suffix}" for name in BATCHES]
        missing = [path for path in paths if not path.is_file()]
        if not missing:
            return paths
        if len(missing) < len(paths):
            raise InputError(f"{missing[0]}: no such file: expected all six official batches")
    return []


def _check_class_folders(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder: expected CIFAR-10's official batches, or train/<class>/ "
            "and test/<class>/"
        )
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        if CIFAR10_ALIASES.get(path.name, path.name) not in CLASSES:
            raise InputError(f"{path}: unknown class, expected one of {CLASSES}")


@lru_cache(maxsize=2)
def _read_batch(path: Path) -> Batch:
    """Read one official batch; the last two are cached, since images are read one by one."""
    rows, labels = _read_binary(path) if path.suffix == ".bin" else _read_pickled(path)
    highest = max(labels.tolist(), default=0)
    if len(rows) != len(labels) or highest >= len(CLASSES):
        raise InputError(
            f"{path}: {len(rows)} images with {len(labels)} labels up to {highest}, "
            "expected a label from 0 to 9 each"
        )
    images = rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)  # planes of (R, G, B) to RGB
    return np.ascontiguousarray(images), labels


def _read_binary(path: Path) -> Batch:
    with reading(path):
        raw = np.fromfile(path, dtype=np.uint8)
    row = 1 + 3 * SIDE * SIDE
    if raw.size == 0 or raw.size % row:
        raise InputError(f"{path}: {raw.size} bytes, expected a multiple of {row}: truncated?")
    table = raw.reshape(-1, row)
    return table[:, 1:], table[:, 0]


def _read_pickled(path: Path) -> Batch:
    with reading(path):
        pickled = path.read_bytes()
    try:
        content = _ArrayUnpickler(io.BytesIO(pickled), encoding="bytes").load()
        rows = np.asarray(content[b"data"], dtype=np.uint8).reshape(-1, 3 * SIDE * SIDE)
        return rows, np.asarray(content[b"labels"], dtype=np.uint8)
    except Exception as error:  # unpickling can raise errors of any type
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not an official CIFAR-10 batch: {reason}") from None


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler of arrays and plain containers, which refuses all other types."""

    ALLOWED = (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
    )

    def find_class(self, module: str, name: str) -> Any:
        current = module.replace("numpy.core.", "numpy._core."), name  # the name before NumPy 2
        if current not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it contains {module}.{name}, which is refused")
        return super().find_class(*current)
