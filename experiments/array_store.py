"""Patches in memory, read through the same interface as patches in shards.

The pipeline does not use it, as its stages always read shards. Studies use it to train on patches
that are in no shard, such as a share of a split or CIFAR-10's images.
"""

from pathlib import Path

from pipeline.common.names import Patches
from pipeline.patches.store import PatchSource


class ArrayStore(PatchSource):
    """Patches of a split held in memory, (N, H, W, C) uint8."""

    def __init__(self, folder: Path, split: str, patches: Patches) -> None:
        super().__init__(folder, split, side=patches.shape[1], channels=patches.shape[3])
        self._patches = patches

    def __len__(self) -> int:
        return len(self._patches)

    def read(self, start: int, stop: int) -> Patches:
        """Return the patches `start` to `stop`, (N, H, W, C) uint8."""
        return self._patches[start:stop]
