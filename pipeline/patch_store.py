"""Patches in HDF5 shards: written whole, read lazily. The only module that imports h5py.

A shard holds whole scans of one split:

    patches (N, H, W, C) uint8      checksums (N,) uint32, the CRC-32 of each patch
    labels (N,) uint8               index into `classes`
    scans (N,) int32                index into `scan_ids`
    origins (N, 2) int32            (row, column)
    foreground (N,) float32         share of foreground pixels, 0 to 1
    scan_ids (S,) fixed-length UTF-8

Attributes: `format`, and `about`, a JSON object with `split`, `classes` (those of its own scans),
`settings`, `channels`, `sources` (digest of the scans' images), `code` (digest of the modules that
decide the bytes) and `columns` (the CRC-32 of every dataset but the patches). Nothing in it depends
on when, where or by how many workers it was written: the same input gives the same bytes.

Patches lie in chunks of `CHUNK_ROWS`, read without a chunk cache: about as fast as in one piece,
and they can be appended, so that a shard is never in memory. A checksum is looked at whenever its
patch or column is read. No dataset has a filter, a link, or a type of variable length, and a file
that has one is refused before anything in it is read.
"""

import json
import os
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.windows import NORMAL, Places

FORMAT = 2
MANIFEST = "manifest.json"
REBUILD = "run `dvc repro -sf extract`, which cuts only damaged and missing shards again"

CHUNK_ROWS = 64
BLOCK_ROWS = 256  # read at a time where all is read
OPEN_SHARDS = 64  # at a time, far below the usual limit of 1024 open files

COLUMNS = {
    "checksums": (np.dtype(np.uint32), 1),
    "labels": (np.dtype(np.uint8), 1),
    "scans": (np.dtype(np.int32), 1),
    "origins": (np.dtype(np.int32), 2),
    "foreground": (np.dtype(np.float32), 1),
}

Patches = NDArray[np.uint8]  # (N, H, W, C)


@dataclass(frozen=True)
class ShardAttributes:
    """What a shard says of itself."""

    split: str
    classes: tuple[str, ...]
    settings: dict[str, Any]
    channels: int
    sources: str
    code: str


class ShardWriter:
    """Writes a shard, scan by scan and piece by piece; it is there after `finish`, or not at all.

    Used in a `with` block, at whose end an unfinished file is removed.
    """

    def __init__(self, path: Path, attributes: ShardAttributes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._attributes = attributes
        self._codes = {name: code for code, name in enumerate(attributes.classes)}
        self._file = h5py.File(self._beside, "w", libver="latest", rdcc_nbytes=0)
        side = attributes.settings["size"]
        shape = (side, side, attributes.channels)
        self._patches = self._file.create_dataset(
            "patches", (0, *shape), np.uint8, maxshape=(None, *shape), chunks=(CHUNK_ROWS, *shape)
        )
        self._columns: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
        self._scan_ids: list[bytes] = []

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._beside.unlink(missing_ok=True)  # first, since closing fails on a full disk
        self._file.close()

    def add_scan(self, scan_id: str, places: Places, pieces: Iterator[Patches]) -> None:
        """Append a scan's windows, given in `pieces` of any length."""
        for piece in pieces:
            self._append(piece)
        count = len(places.labels)
        found = {
            "labels": np.array([self._codes[label] for label in places.labels]),
            "scans": np.full(count, len(self._scan_ids)),
            "origins": places.origins,
            "foreground": places.foreground,
        }
        for name, values in found.items():
            self._columns[name].append(values)
        self._scan_ids.append(scan_id.encode())

    def finish(self) -> None:
        """Complete the shard and give it its name."""
        columns = {name: _column(name, parts) for name, parts in self._columns.items()}
        columns["scan_ids"] = np.array(self._scan_ids or [b" "])
        checksums = {name: zlib.crc32(values.tobytes()) for name, values in columns.items()}
        for name, values in columns.items():
            self._file[name] = values
        about = json.dumps({**asdict(self._attributes), "columns": checksums}, sort_keys=True)
        self._file.attrs["format"] = FORMAT
        self._file.attrs["about"] = np.bytes_(about)
        self._file.close()
        with self._beside.open("rb") as file:
            os.fsync(file)  # or a power cut might leave the name without the content
        self._beside.replace(self._path)

    def _append(self, piece: Patches) -> None:
        start = len(self._patches)
        self._patches.resize(start + len(piece), axis=0)
        self._patches[start:] = piece
        self._columns["checksums"].append(_checksums(piece))


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest; it comes last, so a folder without one was not finished."""
    write_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a finished folder.

    Raises:
        InputError: there is none.
    """
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder / MANIFEST}: no such file: run `dvc repro extract` to finish the patches"
        ) from None
    return content


class Shard:
    """One shard, open for reading.

    Raises:
        InputError: it is not a whole shard of this format, or holds what no shard does; and when
            something is read that does not agree with its checksum.
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

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int, stop: int) -> Patches:
        """Patches `start` to `stop`, (N, H, W, C) uint8."""
        try:
            patches = np.asarray(self._file["patches"][start:stop])
        except (OSError, RuntimeError, KeyError) as error:
            raise self._bad("cannot be read", error) from None
        wrong = np.flatnonzero(_checksums(patches) != self.checksums[start:stop])
        if wrong.size:
            raise self._bad(f"patch {start + wrong[0]} is damaged", "its checksum is another")
        return patches

    def column(self, name: str) -> NDArray[Any]:
        """A whole dataset other than the patches."""
        try:
            values = np.asarray(self._file[name][:])
        except (OSError, RuntimeError, KeyError) as error:
            raise self._bad("cannot be read", error) from None
        if zlib.crc32(values.tobytes()) != self.about["columns"][name]:
            raise self._bad(f"{name} are damaged", "their checksum is another")
        return values

    def verify(self) -> None:
        """Read it all, against every checksum."""
        for name in (*COLUMNS, "scan_ids"):
            self.column(name)
        for start in range(0, len(self), BLOCK_ROWS):
            self.read(start, start + BLOCK_ROWS)

    def _bad(self, what: str, why: object) -> InputError:
        return InputError(f"{self._path}: {what} ({' '.join(str(why).split())}): {REBUILD}")


class PatchStore:
    """The patches of one split, over all of its shards, in a fixed order.

    Shards are opened at the first read, in the process that reads, `OPEN_SHARDS` at a time.
    """

    def __init__(self, folder: Path, split: str) -> None:
        manifest = read_manifest(folder)
        if manifest.get("format") != FORMAT:
            raise InputError(
                f"{folder / MANIFEST}: format {manifest.get('format')}, expected {FORMAT}: "
                "run `dvc repro extract`"
            )
        if split not in manifest["splits"]:
            raise InputError(f"{folder}: no split {split!r}: it has {sorted(manifest['splits'])}")
        shards = manifest["splits"][split]["shards"]
        self.folder = folder
        self.split = split
        self.side: int = manifest["settings"]["size"]
        self.channels: int = manifest["channels"]
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self._paths = [folder / shard["file"] for shard in shards]
        self._starts = np.cumsum([0, *(shard["windows"] for shard in shards)]).tolist()
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, stop: int) -> Patches:
        """Patches `start` to `stop` as (N, H, W, C) uint8."""
        parts = [self._shard(shard).read(a, b) for shard, a, b in self._pieces(start, stop)]
        empty = np.empty((0, self.side, self.side, self.channels), dtype=np.uint8)
        return parts[0] if len(parts) == 1 else np.concatenate([empty, *parts])

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[Patches]:
        """All patches in order, `rows` at a time."""
        for start in range(0, len(self), rows):
            yield self.read(start, min(start + rows, len(self)))

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """(N,) class names, `normal` among them."""
        parts = [np.array(s.about["classes"])[s.column("labels")] for s in self._shards()]
        return np.concatenate([np.array(self.classes)[:0], *parts])

    @cached_property
    def scan_ids(self) -> NDArray[np.str_]:
        """(N,) the scan that each patch was cut from."""
        parts = [
            np.char.decode(s.column("scan_ids"), "utf-8")[s.column("scans")] for s in self._shards()
        ]
        return np.concatenate([np.array([], dtype=np.str_), *parts])

    @cached_property
    def origins(self) -> NDArray[np.int32]:
        """(N, 2) row and column of each patch in its scan."""
        parts = [shard.column("origins") for shard in self._shards()]
        return np.concatenate([np.empty((0, 2), dtype=np.int32), *parts])

    def is_normal(self) -> NDArray[np.bool_]:
        """(N,) True where a patch is normal."""
        return np.asarray(self.labels == NORMAL)

    def _shards(self) -> Iterator[Shard]:
        return (self._shard(number) for number in range(len(self._paths)))

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The parts of [start, stop) as (shard, start in it, stop in it)."""
        while start < stop:
            shard = bisect_right(self._starts, start) - 1
            end = min(stop, self._starts[shard + 1])
            yield shard, start - self._starts[shard], end - self._starts[shard]
            start = end

    def _shard(self, number: int) -> Shard:
        if number not in self._open:
            if len(self._open) == OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
            self._open[number] = self._open_shard(number)
        self._open.move_to_end(number)
        return self._open[number]

    def _open_shard(self, number: int) -> Shard:
        shard = Shard(self._paths[number])
        expected = self._starts[number + 1] - self._starts[number]
        if len(shard) != expected:
            raise InputError(
                f"{self._paths[number]}: {len(shard)} patches, expected {expected}: {REBUILD}"
            )
        return shard


def _column(name: str, parts: list[NDArray[Any]]) -> NDArray[Any]:
    """The parts of a column as one array of its type."""
    kind, dimensions = COLUMNS[name]
    empty = np.empty((0, 2) if dimensions == 2 else (0,), dtype=kind)
    return np.concatenate([empty, *parts], dtype=kind, casting="unsafe")


def _checksums(patches: Patches) -> NDArray[np.uint32]:
    return np.array([zlib.crc32(patch) for patch in patches], dtype=np.uint32)


def _read_about(file: h5py.File) -> dict[str, Any]:
    """What a shard says of itself; only attributes of the fixed-length types we write are read."""
    kinds = {name: file.attrs.get_id(name).dtype.kind for name in file.attrs}
    found = file.attrs["format"] if kinds.get("format") == "i" else None
    if found != FORMAT:
        raise ValueError(f"shard format {found}, expected {FORMAT}")
    if kinds != {"format": "i", "about": "S"}:
        raise ValueError(f"attributes {sorted(kinds)}, expected format and about")
    about: dict[str, Any] = json.loads(bytes(file.attrs["about"]))
    return about


def _require_layout(file: h5py.File) -> None:
    """Refuse links, virtual and external storage, filters, and types that we never write."""
    expected = {"patches": "|u1", "scan_ids": "|S"} | {n: k.str for n, (k, _) in COLUMNS.items()}
    if set(file) != set(expected):
        raise ValueError(f"it holds {sorted(file)}, expected {sorted(expected)}")
    for name, kind in expected.items():
        if type(file.get(name, getlink=True)) is not h5py.HardLink:
            raise ValueError(f"{name} is a link to elsewhere")
        _require_plain(file[name], kind)


def _require_plain(dataset: Any, kind: str) -> None:
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError("a group, expected datasets alone")  # noqa: TRY004
    plain = dataset.id.get_create_plist()
    outside = dataset.is_virtual or plain.get_external_count()
    if outside or plain.get_nfilters() or not dataset.dtype.str.startswith(kind):
        raise ValueError(f"{dataset.name} is of another storage or type than any that we write")
