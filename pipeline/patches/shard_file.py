"""Shards of patches in HDF5, written atomically. The only module that imports h5py.

A shard holds whole scans of one split:

    patches (N, H, W, C) uint8      checksums (N,) uint32, the CRC-32 of each patch
    labels (N,) uint8               index into `classes`
    scans (N,) int32                index into `scan_ids`
    origins (N, 2) int32            (row, column)
    scan_ids (S,) fixed-length UTF-8
    left_out (S, 2) int32           windows of the scan left out as grazing, as background

Attributes: `format`, and `about`, a JSON object with `split`, `classes` (of this shard's scans),
`settings`, `channels`, `pixels` (the rule by which files become uint8), `sources` (digest of the
scans' images), `code` (digest of the modules that decide the bytes) and `columns` (the CRC-32 of
every dataset except the patches). The same input gives the same bytes: nothing in the file depends
on when, where or by how many workers it was written.

Patches are stored in chunks of up to `CHUNK_ROWS`, read without a chunk cache. Reading is about as
fast as from contiguous storage, and patches can be appended, so a whole shard is never in memory.
Each read of a patch or column compares its checksum. No dataset is a link, has a filter, or has a
type of variable length; a file with any of these is refused before its content is read.
"""

import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.common.errors import InputError
from pipeline.common.files import UNFINISHED, rename_durably
from pipeline.common.names import MAX_CHANNELS, NORMAL, Patches
from pipeline.patches.kept_windows import KeptWindows

FORMAT = 3
REBUILD = "run `dvc repro -sf extract`, which cuts only damaged and missing shards again"

CHUNK_ROWS = 64
BLOCK_ROWS = 256  # rows of one read, where all rows are read
MAX_CLASSES = 255  # abnormal ones of a shard, whose labels are bytes; 0 is normal
USUAL_BYTES = 64 * 64 * 3  # of a patch; of larger patches, chunks and reads hold fewer rows

TYPES = {  # in NumPy's notation, all of fixed length
    "patches": "|u1",
    "checksums": "<u4",
    "labels": "|u1",
    "scans": "<i4",
    "origins": "<i4",
    "scan_ids": "|S",
    "left_out": "<i4",
}


@dataclass(frozen=True)
class ShardAttributes:
    """The fields of a shard's `about`, except its classes and checksums."""

    split: str
    settings: dict[str, Any]
    channels: int
    pixels: str
    sources: str
    code: str


def rows_in(most: int, side: int, channels: int) -> int:
    """Return the number of patches that take as many bytes as `most` usual ones; `most` or less."""
    return max(1, min(most, most * USUAL_BYTES // (side * side * channels)))


@contextmanager
def _system_errors() -> Iterator[None]:
    """Replace HDF5's long errors by the system's error that is in them."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        found = re.search(r"errno = (\d+)", str(error))
        if not found:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from None


class ShardWriter:
    """Writer of one shard, scan by scan. The shard's file exists only after `finish`, complete.

    Use the writer in a `with` block; at the end of the block, an unfinished file is removed.

    Raises:
        OSError: the disk is full, or cannot be written.
    """

    @_system_errors()
    def __init__(self, folder: Path, side: int, channels: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._temporary = folder / f".{uuid4().hex}{UNFINISHED}"
        self._chunk_rows = rows_in(CHUNK_ROWS, side, channels)
        self._file = h5py.File(self._temporary, "w", libver="latest", rdcc_nbytes=0)
        self._patches = self._file.create_dataset(
            "patches",
            (0, side, side, channels),
            np.uint8,
            maxshape=(None, side, side, channels),
            chunks=(self._chunk_rows, side, side, channels),
        )
        self._waiting: list[Patches] = []
        self._checksums: list[int] = []
        self._scans: list[tuple[str, KeptWindows]] = []

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._temporary.unlink(missing_ok=True)
        with suppress(OSError, RuntimeError):  # on a full disk, it fails again for the same reason
            self._file.close()

    def __len__(self) -> int:
        return len(self._checksums)

    def add_scan(self, scan_id: str, windows: KeptWindows, pieces: Iterable[Patches]) -> None:
        """Append a scan's windows, given in `pieces` of any length."""
        for piece in pieces:
            self._checksums += _checksums(piece)
            self._waiting.append(piece)
            # Small pieces are joined first. Each has a row or more.
            if len(piece) >= self._chunk_rows or len(self._waiting) >= 4 * self._chunk_rows:
                self._write_waiting()
        self._scans.append((scan_id, windows))

    @_system_errors()
    def finish(self, path: Path, attributes: ShardAttributes) -> None:
        """Complete the shard and rename it to `path`."""
        self._write_waiting()
        classes = self._classes()
        columns = self._columns(classes)
        checksums = {name: zlib.crc32(values.tobytes()) for name, values in columns.items()}
        about = {**asdict(attributes), "classes": classes, "columns": checksums}
        for name, values in columns.items():
            self._file[name] = values
        self._file.attrs["format"] = FORMAT
        self._file.attrs["about"] = np.bytes_(json.dumps(about, sort_keys=True))
        self._file.close()
        rename_durably(self._temporary, path)

    @_system_errors()
    def _write_waiting(self) -> None:
        *small, last = self._waiting or [np.empty((0, *self._patches.shape[1:]), np.uint8)]
        for rows in ([np.concatenate(small)] if small else []) + [last]:
            start = len(self._patches)
            self._patches.resize(start + len(rows), axis=0)
            self._patches[start:] = rows
        self._waiting.clear()

    def _classes(self) -> list[str]:
        found = {label for _, windows in self._scans for label in windows.labels}
        return [NORMAL, *sorted(found - {NORMAL})]

    def _columns(self, classes: list[str]) -> dict[str, NDArray[Any]]:
        codes = {name: code for code, name in enumerate(classes)}
        labels = [codes[label] for _, windows in self._scans for label in windows.labels]
        lengths = [len(windows.labels) for _, windows in self._scans]
        return {
            "checksums": np.array(self._checksums, dtype=np.uint32),
            "labels": np.array(labels, dtype=np.uint8),
            "scans": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            "origins": np.concatenate([windows.origins for _, windows in self._scans]),
            "scan_ids": np.array([scan_id.encode() for scan_id, _ in self._scans]),
            "left_out": np.array([[p.grazing, p.background] for _, p in self._scans], np.int32),
        }


class Shard:
    """One shard, open for reading.

    Raises:
        InputError: the file is incomplete, of another format, or has content that no shard has;
            or, on a read, data does not agree with its checksum.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = h5py.File(path, "r", rdcc_nbytes=0)
            self.about = _read_about(self._file)
            _require_layout(self._file)
            self.checksums: NDArray[np.uint32] = self.column("checksums")
        except InputError:
            raise
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            raise self._bad("not a whole shard", error) from None

    def __len__(self) -> int:
        return len(self.checksums)

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """(H, W, C) of its patches."""
        return self._file["patches"].shape[1:]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int, stop: int) -> Patches:
        """Return patches `start` to `stop`, (N, H, W, C) uint8."""
        try:
            patches = np.asarray(self._file["patches"][start:stop])
        except (OSError, RuntimeError, KeyError) as error:
            raise self._bad("cannot be read", error) from None
        wrong = np.flatnonzero(np.array(_checksums(patches)) != self.checksums[start:stop])
        if wrong.size:
            raise self._bad(f"patch {start + wrong[0]} is damaged", "its checksum is another")
        return patches

    def column(self, name: str) -> NDArray[Any]:
        """Return a whole dataset other than the patches."""
        try:
            values = np.asarray(self._file[name][:])
        except (OSError, RuntimeError, KeyError) as error:
            raise self._bad("cannot be read", error) from None
        if zlib.crc32(values.tobytes()) != self.about["columns"][name]:
            raise self._bad(f"{name} are damaged", "their checksum is another")
        most = {"labels": len(self.about["classes"]), "scans": self._file["scan_ids"].shape[0]}
        if name in most and values.size and not 0 <= values.min() <= values.max() < most[name]:
            raise self._bad(f"{name} are wrong", f"there are {most[name]} to choose from")
        return values

    def verify(self) -> None:
        """Read the whole shard and compare every checksum."""
        for name in TYPES.keys() - {"patches"}:
            self.column(name)
        _, side, channels = self.patch_shape
        rows = rows_in(BLOCK_ROWS, side, channels)
        for start in range(0, len(self), rows):
            self.read(start, start + rows)

    def _bad(self, what: str, why: object) -> InputError:
        return InputError(
            f"{self._path}: {what} ({' '.join(str(why).split())}): {self._handle_damage()}"
        )

    def _handle_damage(self) -> str:
        """Return what the user can do about a damaged file."""
        return REBUILD


def _checksums(patches: Patches) -> list[int]:
    return [zlib.crc32(patch) for patch in patches]


def _read_about(file: h5py.File) -> dict[str, Any]:
    """Return `about`; attributes of a type that we never write are refused before they are read."""
    kinds = {name: file.attrs.get_id(name).dtype.kind for name in file.attrs}
    found = file.attrs["format"] if kinds.get("format") == "i" else None
    if found != FORMAT:
        raise ValueError(f"shard format {found}, expected {FORMAT}")
    if kinds != {"format": "i", "about": "S"}:
        raise ValueError(f"attributes {sorted(kinds)}, expected format and about")
    about: dict[str, Any] = json.loads(bytes(file.attrs["about"]))
    classes, columns = about["classes"], about["columns"]
    if not classes or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"classes {classes!r:.80}, expected names")
    if set(columns) != TYPES.keys() - {"patches"}:
        raise ValueError(f"checksums of {sorted(columns)}, expected those of every column")
    return about


def _require_layout(file: h5py.File) -> None:
    """Refuse links, virtual and external storage, filters, and types that we never write."""
    if set(file) != set(TYPES):
        raise ValueError(f"it holds {sorted(file)}, expected {sorted(TYPES)}")
    for name, kind in TYPES.items():
        if type(file.get(name, getlink=True)) is not h5py.HardLink:
            raise ValueError(f"{name} is a link to elsewhere")
        _require_plain(file[name], kind)
    _require_shapes({name: file[name].shape for name in TYPES})
    declared = sum(file[name].nbytes for name in TYPES)
    if declared > file.id.get_filesize():  # nothing is compressed, so this would not be on the disk
        raise ValueError(f"it declares {declared} bytes, more than the file has")


def _require_shapes(shapes: dict[str, tuple[int, ...]]) -> None:
    """Refuse columns that are not as long as each other."""
    patches, rows, scans = shapes["patches"], shapes["checksums"], shapes["scan_ids"]
    square = len(patches) == 4 and patches[1] == patches[2] and 1 <= patches[3] <= MAX_CHANNELS
    expected = {
        "patches": (*rows, *patches[1:]),
        "labels": rows,
        "scans": rows,
        "origins": (*rows, 2),
        "left_out": (*scans, 2),
    }
    wrong = [name for name, shape in expected.items() if shapes[name] != shape]
    if not square or len(rows) != 1 or len(scans) != 1 or wrong:
        raise ValueError(f"shapes {shapes} do not fit together")


def _require_plain(dataset: Any, kind: str) -> None:
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError("a group, expected datasets alone")
    plain = dataset.id.get_create_plist()
    outside = dataset.is_virtual or plain.get_external_count()
    if outside or plain.get_nfilters() or not dataset.dtype.str.startswith(kind):
        raise ValueError(f"{dataset.name} is of another storage or type than any that we write")
