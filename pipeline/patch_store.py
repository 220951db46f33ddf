"""Patches in HDF5 shards: written whole, read lazily. The only module that imports h5py.

A shard holds whole scans of one split, in contiguous datasets, which HDF5 reads in blocks about
seven times as fast as chunked ones:

    patches (N, H, W, C) uint8      labels (N,) uint8, index into the attribute `classes`
    scans (N,) int32                index into `scan_ids`
    origins (N, 2) int32            (row, column)
    foreground (N,) float32         share of foreground pixels, 0 to 1
    scan_ids (S,) fixed-length UTF-8

Attributes: `format`, `split`, `classes`, `settings`, `sources` (digest of the scans' files) and
`code` (digest of the modules that decide the bytes). Nothing in it depends on when or where it
was written, so the same input gives the same bytes.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.windows import NORMAL, Windows

FORMAT = 1
MANIFEST = "manifest.json"

# Shuffling reads blocks of this many rows, and mixes this many blocks at a time: with 64x64x3
# patches at most 50 MB a worker, the stated memory budget of reading.
BLOCK_ROWS = 256
BUFFER_BLOCKS = 16


@dataclass(frozen=True)
class ShardAttributes:
    """What a shard says of itself beside its split."""

    classes: tuple[str, ...]
    settings: dict[str, Any]
    sources: str
    code: str


def write_shard(
    path: Path,
    split: str,
    scans: Sequence[tuple[str, Windows]],
    attributes: ShardAttributes,
) -> None:
    """Write the windows of some scans as one shard, whole or not at all."""
    beside = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    codes = {name: code for code, name in enumerate(attributes.classes)}
    with h5py.File(beside, "w", libver="latest") as file:
        file.attrs["format"] = FORMAT
        file.attrs["split"] = split
        file.attrs["classes"] = json.dumps(attributes.classes)
        file.attrs["settings"] = json.dumps(attributes.settings, sort_keys=True)
        file.attrs["sources"] = attributes.sources
        file.attrs["code"] = attributes.code
        file["patches"] = np.concatenate([windows.pixels for _, windows in scans])
        file["origins"] = np.concatenate([windows.origins for _, windows in scans])
        file["foreground"] = np.concatenate([windows.foreground for _, windows in scans])
        labels = [codes[label] for _, windows in scans for label in windows.labels]
        file["labels"] = np.array(labels, dtype=np.uint8)
        lengths = [len(windows.labels) for _, windows in scans]
        file["scans"] = np.repeat(np.arange(len(scans), dtype=np.int32), lengths)
        file["scan_ids"] = np.array([scan_id.encode() for scan_id, _ in scans])
    beside.replace(path)


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


class PatchStore:
    """The patches of one split, over all of its shards, in a fixed order.

    Shards are opened at the first read, in the process that reads.
    """

    def __init__(self, folder: Path, split: str) -> None:
        manifest = read_manifest(folder)
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
        self._files: dict[int, h5py.File] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Patches `start` to `stop` as (N, H, W, C) uint8."""
        parts = [self._file(shard)["patches"][a:b] for shard, a, b in self._pieces(start, stop)]
        empty = np.empty((0, self.side, self.side, self.channels), dtype=np.uint8)
        return np.concatenate([empty, *parts])

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[NDArray[np.uint8]]:
        """All patches in order, `rows` at a time."""
        for start in range(0, len(self), rows):
            yield self.read(start, min(start + rows, len(self)))

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """(N,) class names, `normal` among them."""
        names = np.array(self.classes)
        return np.concatenate([names[:0], *(names[codes] for codes in self._column("labels"))])

    @cached_property
    def scan_ids(self) -> NDArray[np.str_]:
        """(N,) the scan that each patch was cut from."""
        parts = [
            np.char.decode(ids, "utf-8")[scans]
            for ids, scans in zip(self._column("scan_ids"), self._column("scans"), strict=True)
        ]
        return np.concatenate([np.array([], dtype=np.str_), *parts])

    @cached_property
    def origins(self) -> NDArray[np.int32]:
        """(N, 2) row and column of each patch in its scan."""
        return np.concatenate([np.empty((0, 2), dtype=np.int32), *self._column("origins")])

    def is_normal(self) -> NDArray[np.bool_]:
        """(N,) True where a patch is normal."""
        return np.asarray(self.labels == NORMAL)

    def _column(self, name: str) -> list[NDArray[Any]]:
        return [self._file(shard)[name][:] for shard in range(len(self._paths))]

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The parts of [start, stop) as (shard, start in it, stop in it)."""
        while start < stop:
            shard = bisect_right(self._starts, start) - 1
            end = min(stop, self._starts[shard + 1])
            yield shard, start - self._starts[shard], end - self._starts[shard]
            start = end

    def _file(self, shard: int) -> h5py.File:
        if shard not in self._files:
            self._files[shard] = _open_shard(self._paths[shard])
        return self._files[shard]


def _open_shard(path: Path) -> h5py.File:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: not a whole shard ({error}): run `dvc repro -f extract`"
        ) from None
    if file.attrs.get("format") != FORMAT:
        raise InputError(
            f"{path}: shard format {file.attrs.get('format')}, expected {FORMAT}: "
            "run `dvc repro -f extract`"
        )
    return file


@dataclass(frozen=True)
class ShuffledReader:
    """Batches of a store in a random order, each rank its own part, from blocks read whole.

    Blocks are permuted and dealt to the ranks; within `BUFFER_BLOCKS` blocks rows are permuted.
    Every rank gives the same number of batches, all full: rows left over at the end of an epoch
    are left out of it (others each epoch), since batch-norm and gradients want equal batches.

    Attributes:
        store: the patches.
        batch_size: patches in a batch of one rank.
        rank, world_size: which part, of how many.
        seed: with the epoch, decides the order.
    """

    store: PatchStore
    batch_size: int
    rank: int
    world_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.batches_per_epoch == 0:
            raise InputError(
                f"{self.store.folder}: {len(self.store)} {self.store.split} patches are less than "
                f"a batch of {self.batch_size} for each of {self.world_size} workers: "
                "lower model.batch_size or train.workers, or add scans"
            )

    @property
    def batches_per_epoch(self) -> int:
        """How many batches every rank gives in each epoch."""
        # The only short block is the last; counting as if each rank had it keeps all ranks and
        # epochs equal, wherever the permutation puts it.
        dealt = len(self._block_starts) // self.world_size
        short = len(self._block_starts) * self._block_rows - len(self.store)
        return max(dealt * self._block_rows - short, 0) // self.batch_size

    def epoch(self, epoch: int) -> Iterator[NDArray[np.uint8]]:
        """The batches of one epoch, each (batch_size, H, W, C) uint8."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self._block_starts))
        mine = order[self.rank :: self.world_size]
        rows = np.random.default_rng([self.seed, epoch, self.rank])
        given = 0
        rest = self.store.read(0, 0)
        for first in range(0, len(mine), BUFFER_BLOCKS):
            blocks = [self._read_block(block) for block in mine[first : first + BUFFER_BLOCKS]]
            pool = np.concatenate([rest, *blocks])
            rows.shuffle(pool)
            full = len(pool) - len(pool) % self.batch_size
            for start in range(0, full, self.batch_size):
                if given == self.batches_per_epoch:
                    return
                given += 1
                yield pool[start : start + self.batch_size]
            rest = pool[full:]

    @cached_property
    def _block_rows(self) -> int:
        # Small sets are dealt in small blocks, or one rank would get nearly everything.
        return max(1, min(BLOCK_ROWS, len(self.store) // (self.world_size * 16)))

    @cached_property
    def _block_starts(self) -> range:
        return range(0, len(self.store), self._block_rows)

    def _read_block(self, block: int) -> NDArray[np.uint8]:
        start = self._block_starts[block]
        return self.store.read(start, min(start + self._block_rows, len(self.store)))
