"""Batches of patches in a random order that a seed decides; each worker reads its own part."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.common.errors import InputError
from pipeline.common.names import Patches
from pipeline.patches.store import PatchSource

# Number of blocks that are shuffled together. The blocks, and the pool that they are shuffled in,
# take 100 MB a worker: the stated memory budget of reading.
BUFFER_BLOCKS = 16


@dataclass(frozen=True)
class ShuffledReader:
    """Reader of one rank's batches of a store, in a random order.

    It replaces PyTorch's DataLoader and DistributedSampler, which would read row by row.

    Blocks are permuted, dealt to the ranks and read whole; the rows of `BUFFER_BLOCKS` blocks are
    permuted. Batch-norm and gradients need equal batches, so every rank yields the same number of
    full batches; each epoch drops the rows that are left over, different ones in each epoch.

    Attributes:
        store: the patches.
        batch_size: patches in a batch of one rank.
        rank, world_size: the rank that this reader serves, and the number of ranks.
        seed: decides the order, together with the epoch.
    """

    store: PatchSource
    batch_size: int
    rank: int
    world_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.batches_per_epoch == 0:
            raise InputError(
                f"{self.store.folder}: {len(self.store)} {self.store.split} patches are too few "
                f"for a batch of {self.batch_size} for each of {self.world_size} workers: "
                "lower model.batch_size or train.workers, or add scans"
            )

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches that every rank yields in each epoch."""
        # Only the last block is short. Each rank is counted as if it had this block, so that the
        # number is the same for all ranks and epochs, wherever the permutation puts the block.
        dealt = len(self._block_starts) // self.world_size
        short = len(self._block_starts) * self._block_rows - len(self.store)
        return max(dealt * self._block_rows - short, 0) // self.batch_size

    def epoch(self, epoch: int) -> Iterator[Patches]:
        """Yield the batches of one epoch, each (batch_size, H, W, C) uint8."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self._block_starts))
        mine = order[self.rank :: self.world_size]
        rows = np.random.default_rng([self.seed, epoch, self.rank])
        given = 0
        rest = self.store.read(0, 0)
        for first in range(0, len(mine), BUFFER_BLOCKS):
            some = mine[first : first + BUFFER_BLOCKS]
            pool = np.concatenate([rest, *(self._read_block(block) for block in some)])
            shuffled = rows.permutation(len(pool))
            full = len(pool) - len(pool) % self.batch_size
            for start in range(0, full, self.batch_size):
                if given == self.batches_per_epoch:
                    return
                given += 1
                yield pool[shuffled[start : start + self.batch_size]]
            rest = pool[shuffled[full:]]
            del pool  # before the next blocks are read

    @cached_property
    def _block_rows(self) -> int:
        """The rows of a block: fewer in a small set, or one rank would get nearly everything."""
        full = self.store.block_rows
        rows = min(full, len(self.store) // (self.world_size * 16))
        # Several ranks would leave out up to a block each, which may be most of a small set.
        return max(1, rows) if self.world_size == 1 or rows == full else 1

    @cached_property
    def _block_starts(self) -> range:
        return range(0, len(self.store), self._block_rows)

    def _read_block(self, block: int) -> Patches:
        start = self._block_starts[block]
        return self.store.read(start, min(start + self._block_rows, len(self.store)))
