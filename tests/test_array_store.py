from pathlib import Path

import numpy as np

from experiments.array_store import ArrayStore
from tests.stores import store_of


def test_patches_in_memory_are_read_like_those_of_shards(tmp_path: Path) -> None:
    shards = store_of(tmp_path, [30, 1, 25])
    memory = ArrayStore(shards.folder, shards.split, shards.read(0, len(shards)))
    for name in ("folder", "split", "side", "channels"):
        assert getattr(memory, name) == getattr(shards, name)
    assert len(memory) == len(shards)
    np.testing.assert_array_equal(memory.read(7, 41), shards.read(7, 41))
    assert memory.read(5, 5).shape == shards.read(5, 5).shape
    for own, other in zip(memory.blocks(), shards.blocks(), strict=True):
        np.testing.assert_array_equal(own, other)
