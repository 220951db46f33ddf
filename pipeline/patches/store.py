"""The patches of a split, over all of its shards."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.names import NORMAL, Patches
from pipeline.patches.manifest import read_manifest
from pipeline.patches.shard_file import BLOCK_ROWS, REBUILD, Shard, rows_in

OPEN_SHARDS = 64  # at a time, far below the usual limit of 1024 open files


class NoRoomError(InputError):
    """There is no room to open a shard while so many other shards are open."""


class PatchSource(ABC):
    """The patches of one split in a fixed order, as training reads them (compare torch's Dataset).

    Attributes:
        folder: the folder of the patches, for messages.
        split: the split's name.
        side: of a patch in pixels.
        channels: of a patch, 1 to 3.
    """

    def __init__(self, folder: Path, split: str, side: int, channels: int) -> None:
        self.folder = folder
        self.split = split
        self.side = side
        self.channels = channels

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, start: int, stop: int) -> Patches:
        """Return patches `start` to `stop` as (N, H, W, C) uint8."""

    @property
    def block_rows(self) -> int:
        """Number of patches to read at a time where all are read."""
        return rows_in(BLOCK_ROWS, self.side, self.channels)

    def blocks(self) -> Iterator[Patches]:
        """Yield all patches in order, `block_rows` at a time."""
        for start in range(0, len(self), self.block_rows):
            yield self.read(start, min(start + self.block_rows, len(self)))

    def blocks_with_progress(self, work: str) -> Iterator[Patches]:
        """Yield all patches as `blocks` does, and show how many of them `work` has done."""
        with terminal.progress(work, len(self), "window") as shown:
            for block in self.blocks():
                yield block
                shown.update(len(block))


class PatchStore(PatchSource):
    """The patches of one split, over all of its shards, in a fixed order.

    A shard is opened at its first read, in the process that reads. At most `OPEN_SHARDS` are open
    at a time, or fewer if `open_shard` has no room for more.

    Args:
        folder: the folder of the patches.
        split: the split's name.
        open_shard: opens a shard.
        also: another split, whose patches follow.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        open_shard: Callable[[Path], Shard] = Shard,
        *,
        also: str | None = None,
    ) -> None:
        manifest = read_manifest(folder)
        splits, shards = manifest["splits"], []
        for name in (split, also) if also else (split,):
            if name not in splits:
                raise InputError(f"{folder}: no split {name!r}: it has {sorted(splits)}")
            shards += splits[name]["shards"]
        super().__init__(folder, split, manifest["settings"]["size"], manifest["channels"])
        self._open_file = open_shard
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self._paths = [folder / shard["file"] for shard in shards]
        self._starts = np.cumsum([0, *(shard["windows"] for shard in shards)]).tolist()
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, stop: int) -> Patches:
        """Return patches `start` to `stop` as (N, H, W, C) uint8."""
        parts = [self._shard(shard).read(a, b) for shard, a, b in self._pieces(start, stop)]
        empty = np.empty((0, self.side, self.side, self.channels), dtype=np.uint8)
        return parts[0] if len(parts) == 1 else np.concatenate([empty, *parts])

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """(N,) class names, `normal` among them."""
        parts = [np.array(s.about["classes"])[s.column("labels")] for s in self._shards()]
        return np.concatenate([np.array(self.classes)[:0], *parts])

    @cached_property
    def scan_ids(self) -> NDArray[np.str_]:
        """(N,) ids of the scans that the patches were cut from."""
        parts = [
            np.char.decode(s.column("scan_ids"), "utf-8")[s.column("scans")] for s in self._shards()
        ]
        return np.concatenate([np.array([], dtype=np.str_), *parts])

    @cached_property
    def origins(self) -> NDArray[np.int32]:
        """(N, 2) row and column of each patch in its scan."""
        parts = [shard.column("origins") for shard in self._shards()]
        return np.concatenate([np.empty((0, 2), dtype=np.int32), *parts])

    @property
    def scans(self) -> int:
        """Number of scans that the patches were cut from."""
        return len(np.unique(self.scan_ids))

    def is_normal(self) -> NDArray[np.bool_]:
        """Return (N,) True where a patch is normal."""
        return np.asarray(self.labels == NORMAL)

    def _shards(self) -> Iterator[Shard]:
        return (self._shard(number) for number in range(len(self._paths)))

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield the parts of [start, stop) as (shard, start in the shard, stop in the shard)."""
        while start < stop:
            shard = bisect_right(self._starts, start) - 1
            end = min(stop, self._starts[shard + 1])
            yield shard, start - self._starts[shard], end - self._starts[shard]
            start = end

    def _shard(self, number: int) -> Shard:
        while number not in self._open:
            try:
                if len(self._open) == OPEN_SHARDS:
                    self._close_oldest()
                self._open[number] = self._open_shard(number)
            except NoRoomError:
                if not self._open:
                    raise
                self._close_oldest()
        self._open.move_to_end(number)
        return self._open[number]

    def _close_oldest(self) -> None:
        self._open.popitem(last=False)[1].close()

    def _open_shard(self, number: int) -> Shard:
        shard = self._open_file(self._paths[number])
        expected = self._starts[number + 1] - self._starts[number]
        if len(shard) != expected:
            raise InputError(
                f"{self._paths[number]}: {len(shard)} patches, expected {expected}: {REBUILD}"
            )
        side, channels = self.side, self.channels
        if shard.patch_shape != (side, side, channels):
            raise InputError(
                f"{self._paths[number]}: patches of {shard.patch_shape}, expected "
                f"{(side, side, channels)}: {REBUILD}"
            )
        return shard


def evenly_spaced(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Return at most `most` of the rows, evenly spaced; nothing is drawn at random."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def read_rows(store: PatchSource, rows: NDArray[np.intp]) -> Patches:
    """Read the patches in these rows of the store, (N, H, W, C) uint8."""
    return np.concatenate([store.read(0, 0), *(store.read(row, row + 1) for row in rows.tolist())])


def read_evenly_spaced(store: PatchSource, most: int) -> Patches:
    """Read at most `most` patches, evenly spaced over the store, (N, H, W, C) uint8."""
    return read_rows(store, evenly_spaced(np.arange(len(store)), most))
