"""CIFAR-10 with one class left out (section IV-A1): each image is a scan.

45,000 images of the official training part are normal and for training, the 9,000 normal images
of the official test part and all 6,000 of the class left out are for testing.
"""

import io
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.images import list_images, read_rgb
from pipeline.sources.base import Part, Region, Scan, ScanEntry

# In the order of the official labels, with the names of the paper's Table I.
CLASSES = (
    "plane",
    "car",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ALIASES = {"airplane": "plane", "automobile": "car"}
SIDE = 32
PARTS: tuple[Part, Part] = ("train", "test")
BINARY = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
}
PICKLED = {
    "train": [f"data_batch_{number}" for number in range(1, 6)],
    "test": ["test_batch"],
}

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, 32, 32, 3) RGB, labels (N,)


class Cifar10Source:
    """The official batches, or class folders: ``train/<class>/`` and ``test/<class>/``."""

    def __init__(self, folder: Path, abnormal_class: str) -> None:
        self.folder = folder
        self.abnormal_class = ALIASES.get(abnormal_class, abnormal_class)
        if self.abnormal_class not in CLASSES:
            raise InputError(
                f"scans.abnormal_class: unknown class {abnormal_class!r}, expected one of {CLASSES}"
            )

    def entries(self) -> list[ScanEntry]:
        """Every image, sorted by id ``<part>/<class>/<number or name>``."""
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: no such folder: set scans.folder to CIFAR-10's")
        batches = _batch_files(self.folder)
        found = self._batch_entries(batches) if batches else self._folder_entries()
        return sorted(found, key=lambda entry: entry.scan_id)

    def read(self, entry: ScanEntry) -> Scan:
        """Read one image; in the class left out, the whole image is the region."""
        path, name = entry.files[0], entry.scan_id.rsplit("/", 1)[1]
        is_batch = path.suffix in ("", ".bin")
        image = _read_batch(path)[0][int(name.rsplit("-", 1)[1])] if is_batch else read_rgb(path)
        whole = np.ones(image.shape[:2], dtype=np.bool_)
        return Scan(entry.scan_id, image, tuple(Region(name, whole) for name in entry.classes))

    def _batch_entries(self, batches: dict[Part, list[Path]]) -> list[ScanEntry]:
        return [
            self._entry(part, CLASSES[label], f"{path.stem}-{number:05d}", path)
            for part, paths in batches.items()
            for path in paths
            for number, label in enumerate(_read_batch(path)[1].tolist())
        ]

    def _folder_entries(self) -> list[ScanEntry]:
        return [
            self._entry(part, ALIASES.get(folder.name, folder.name), path.stem, path)
            for part in PARTS
            for folder in _class_folders(self.folder / part)
            for path in list_images(folder)
        ]

    def _entry(self, part: Part, class_name: str, name: str, path: Path) -> ScanEntry:
        abnormal = (class_name,) if class_name == self.abnormal_class else ()
        return ScanEntry(f"{part}/{class_name}/{name}", (path,), abnormal, part)


def _batch_files(folder: Path) -> dict[Part, list[Path]]:
    """The official batch files, empty where none is there."""
    for names in (BINARY, PICKLED):
        paths: dict[Part, list[Path]] = {
            part: [folder / name for name in names[part]] for part in PARTS
        }
        missing = [path for part in PARTS for path in paths[part] if not path.is_file()]
        if len(missing) < sum(len(part) for part in paths.values()):
            if missing:
                raise InputError(f"{missing[0]}: no such file: expected all six official batches")
            return paths
    return {}


def _class_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder: expected CIFAR-10's official batches, or train/<class>/ "
            "and test/<class>/"
        )
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    for path in folders:
        if ALIASES.get(path.name, path.name) not in CLASSES:
            raise InputError(f"{path}: unknown class, expected one of {CLASSES}")
    return folders


@lru_cache(maxsize=2)
def _read_batch(path: Path) -> Batch:
    """One official batch; the last ones read are kept, since images are read one by one."""
    rows, labels = _read_binary(path) if path.suffix == ".bin" else _read_pickled(path)
    images = rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)  # planes of (R, G, B) to RGB
    return np.ascontiguousarray(images), labels


def _read_binary(path: Path) -> Batch:
    raw = np.fromfile(path, dtype=np.uint8)
    row = 1 + 3 * SIDE * SIDE
    if raw.size == 0 or raw.size % row:
        raise InputError(f"{path}: {raw.size} bytes, expected a multiple of {row}: truncated?")
    table = raw.reshape(-1, row)
    return table[:, 1:], table[:, 0]


def _read_pickled(path: Path) -> Batch:
    try:
        content = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        rows = np.asarray(content[b"data"], dtype=np.uint8).reshape(-1, 3 * SIDE * SIDE)
        return rows, np.asarray(content[b"labels"], dtype=np.uint8)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not an official CIFAR-10 batch: {error}") from None


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and plain containers, and refuses whatever else a pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"_reconstruct", "ndarray", "dtype"}
        if module.split(".", maxsplit=1)[0] == "numpy" and name in allowed:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
