import tracemalloc
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import InputError
from pipeline.common.names import Patches
from pipeline.patches.batches import ShuffledReader
from pipeline.patches.store import PatchSource, PatchStore
from tests.stores import ids_of, store_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    return store_of(tmp_path_factory.mktemp("store"), [300, 1, 450, 272])


class Numbered(PatchSource):
    """Patches in no file, which count up from 0 like those of `store_of`."""

    def __init__(self, length: int, side: int = 2) -> None:
        super().__init__(Path("numbered"), "train", side, 3)
        self._length = length

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, stop: int) -> Patches:
        patches = np.zeros((stop - start, self.side, self.side, 3), dtype=np.uint8)
        ids = np.arange(start, stop)
        patches[:, 0, 0, 0], patches[:, 0, 0, 1] = ids % 256, ids // 256
        return patches


@settings(max_examples=25, deadline=None)
@given(
    world_size=st.integers(1, 5),
    batch_size=st.integers(2, 40),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
)
def test_ranks_get_as_many_full_batches_and_no_patch_twice(
    world_size: int, batch_size: int, seed: int, epoch: int
) -> None:
    seen: list[int] = []
    for rank in range(world_size):
        reader = ShuffledReader(Numbered(1023), batch_size, rank, world_size, seed)
        batches = list(reader.epoch(epoch))
        assert len(batches) == reader.batches_per_epoch > 0
        assert all(len(batch) == batch_size for batch in batches)
        seen += [number for batch in batches for number in ids_of(batch)]
    assert len(seen) == len(set(seen))
    assert 1023 - len(seen) < world_size * batch_size


class InBlocksOf3(Numbered):
    """Patches of which each rank gets many full blocks, and one rank a short one."""

    block_rows = 3


def test_ranks_with_full_blocks_get_as_many_batches() -> None:
    for rank, epoch in product(range(2), range(10)):
        reader = ShuffledReader(InBlocksOf3(97), 16, rank, 2, 0)
        assert len(list(reader.epoch(epoch))) == reader.batches_per_epoch > 0


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        reader = ShuffledReader(Numbered(1023), 16, 0, 2, seed)
        return ids_of(np.concatenate(list(reader.epoch(epoch))))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def slow_order(rank: int, world_size: int, batch_size: int, seed: int, epoch: int) -> list[int]:
    """The order of 1023 patches, one by one: blocks dealt like cards, rows mixed in each pool."""
    length = 1023 // 16 if world_size == 1 else 1
    blocks = [list(range(1023))[start : start + length] for start in range(0, 1023, length)]
    order = np.random.default_rng([seed, epoch]).permutation(len(blocks)).tolist()
    dealt = [block for place, block in enumerate(order) if place % world_size == rank]
    shuffle = np.random.default_rng([seed, epoch, rank]).permutation
    given: list[int] = []
    pool: list[int] = []
    for place, block in enumerate(dealt):
        pool += blocks[block]
        if place % 16 == 15 or place == len(dealt) - 1:
            pool = [pool[row] for row in shuffle(len(pool))]
            while len(pool) >= batch_size:
                given, pool = given + pool[:batch_size], pool[batch_size:]
    return given


@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (0, 2), (1, 2), (2, 3)])
def test_the_order_is_that_of_a_slow_reference(
    store: PatchStore, rank: int, world_size: int
) -> None:
    reader = ShuffledReader(store, 11, rank, world_size, seed=3)
    found = ids_of(np.concatenate(list(reader.epoch(5))))
    assert found == slow_order(rank, world_size, 11, seed=3, epoch=5)[: len(found)]


def test_neighbours_in_the_store_are_no_neighbours_in_an_epoch(store: PatchStore) -> None:
    order = ids_of(np.concatenate(list(ShuffledReader(store, 10, 0, 1, seed=3).epoch(0))))
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.01


def test_too_few_patches_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="7 train patches are too few for a batch of 8"):
        ShuffledReader(store_of(tmp_path, [7]), 8, 0, 1, 0)


def test_a_small_set_is_dealt_patch_by_patch(tmp_path: Path) -> None:
    store = store_of(tmp_path, [9])
    dealt = [list(ShuffledReader(store, 2, rank, 4, 0).epoch(0)) for rank in range(4)]
    assert [len(batches) for batches in dealt] == [1, 1, 1, 1]
    assert len({number for (batch,) in dealt for number in ids_of(batch)}) == 8


@pytest.mark.parametrize(("patches", "batches"), [(64, 1), (65, 1), (127, 1), (129, 2)])
def test_several_workers_use_all_full_batches_of_a_small_set(patches: int, batches: int) -> None:
    assert ShuffledReader(Numbered(patches), 32, 0, 2, 0).batches_per_epoch == batches


@pytest.mark.slow
@pytest.mark.parametrize(("side", "rows"), [(32, 256), (64, 256), (256, 16), (1000, 1)])
def test_reading_takes_100_mb_at_most(side: int, rows: int) -> None:
    store = Numbered(16 * rows * 3, side)
    assert store.block_rows == rows
    reader = ShuffledReader(store, 4, 0, 1, 0)
    tracemalloc.start()
    try:
        assert sum(1 for _ in reader.epoch(0)) == reader.batches_per_epoch
        assert tracemalloc.get_traced_memory()[1] < 120e6
    finally:
        tracemalloc.stop()
