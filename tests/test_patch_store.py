import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalogue import CatalogueRow
from pipeline.errors import InputError
from pipeline.extraction import extract_patches
from pipeline.files import file_digest
from pipeline.patch_store import (
    PatchStore,
    ShardAttributes,
    ShuffledReader,
    write_manifest,
    write_shard,
)
from pipeline.sources.masks import SIXRAY, MasksSource
from pipeline.splits import SPLITS, TEST, TRAIN
from pipeline.windows import Windows, cut_windows
from tests.conftest import EXTRACT


def store_of(folder: Path, lengths: list[int]) -> PatchStore:
    """A store with a shard per length, whose patches count up from 0 in their first two bytes."""
    total = 0
    shards = []
    for number, length in enumerate(lengths):
        pixels = np.zeros((length, 16, 16, 3), dtype=np.uint8)
        ids = np.arange(total, total + length)
        pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = ids % 256, ids // 256
        total += length
        windows = Windows(
            pixels=pixels,
            origins=np.zeros((length, 2), dtype=np.int32),
            labels=("normal",) * length,
            foreground=np.ones(length, dtype=np.float32),
            grazing=0,
            background=0,
        )
        name = f"train-{number}.h5"
        attributes = ShardAttributes(("normal",), {"size": 16}, "d", "c")
        write_shard(folder / name, "train", [(f"scan-{number}", windows)], attributes)
        shards.append({"file": name, "windows": length})
    manifest = {
        "settings": {"size": 16},
        "channels": 3,
        "classes": ["normal"],
        "splits": {"train": {"shards": shards}},
    }
    write_manifest(folder, manifest)
    return PatchStore(folder, "train")


def ids_of(batch: np.ndarray) -> list[int]:
    found: list[int] = (
        batch[:, 0, 0, 0].astype(int) + 256 * batch[:, 0, 0, 1].astype(int)
    ).tolist()
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    return store_of(tmp_path_factory.mktemp("store"), [300, 1, 450, 272])


def test_reads_across_shards(store: PatchStore) -> None:
    assert len(store) == 1023
    assert ids_of(store.read(290, 760)) == list(range(290, 760))
    assert ids_of(np.concatenate(list(store.blocks(100)))) == list(range(1023))
    assert store.read(5, 5).shape == (0, 16, 16, 3)


@settings(max_examples=25, deadline=None)
@given(
    world_size=st.integers(1, 5),
    batch_size=st.integers(2, 40),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
)
def test_ranks_get_as_many_full_batches_and_no_patch_twice(
    store: PatchStore, world_size: int, batch_size: int, seed: int, epoch: int
) -> None:
    seen: list[int] = []
    for rank in range(world_size):
        reader = ShuffledReader(store, batch_size, rank, world_size, seed)
        batches = list(reader.epoch(epoch))
        assert len(batches) == reader.batches_per_epoch > 0
        assert all(len(batch) == batch_size for batch in batches)
        seen += [number for batch in batches for number in ids_of(batch)]
    assert len(seen) == len(set(seen))
    left_out = 1023 - len(seen)
    assert left_out < world_size * (batch_size + 2 * 1023 / (world_size * 16))


def test_order_depends_on_seed_and_epoch_alone(store: PatchStore) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return ids_of(np.concatenate(list(ShuffledReader(store, 16, 0, 2, seed).epoch(epoch))))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert order(1, 0) != sorted(order(1, 0))


def test_too_few_patches_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="7 train patches are less than a batch of 8"):
        ShuffledReader(store_of(tmp_path, [7]), 8, 0, 1, 0)


def test_the_same_input_gives_the_same_bytes(
    sixray: Path, catalogue: list[CatalogueRow], patches: Path, tmp_path: Path
) -> None:
    extract_patches(tmp_path, catalogue, MasksSource(sixray, SIXRAY, stretched=True), EXTRACT)
    digests = {path.name: file_digest(path) for path in patches.iterdir()}
    assert len(digests) > len(SPLITS)
    assert digests == {path.name: file_digest(path) for path in tmp_path.iterdir()}


def test_patches_are_the_windows_of_the_catalogue(
    sixray: Path, catalogue: list[CatalogueRow], patches: Path
) -> None:
    store = PatchStore(patches, TEST)
    source = MasksSource(sixray, SIXRAY, stretched=True)
    for row in (row for row in catalogue if row.split == TEST):
        windows = cut_windows(source.read(row.entry()), EXTRACT)
        mine = np.flatnonzero(store.scan_ids == row.scan_id)
        np.testing.assert_array_equal(store.read(mine[0], mine[-1] + 1), windows.pixels)
        np.testing.assert_array_equal(store.origins[mine], windows.origins)
        assert tuple(store.labels[mine]) == windows.labels
    manifest = json.loads((patches / "manifest.json").read_text())
    assert manifest["splits"][TEST]["classes"] == dict(Counter(store.labels.tolist()))
    assert manifest["splits"][TEST]["grazing"] > 0


def test_a_shard_cut_short_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path, [64])
    shard = tmp_path / "train-0.h5"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"train-0\.h5: not a whole shard .*dvc repro -f extract"):
        store.read(0, 1)


def test_an_unfinished_folder_and_an_unknown_split_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json: no such file"):
        PatchStore(tmp_path, TRAIN)
    store_of(tmp_path, [8])
    with pytest.raises(InputError, match="no split 'tset'"):
        PatchStore(tmp_path, "tset")
