from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.names import TEST, TRAIN
from pipeline.patches.manifest import read_manifest, write_manifest
from pipeline.patches.shard_file import Shard
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import keep_windows, window_pixels
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from tests.stores import ids_of, store_of
from tests.tiny import EXTRACT


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    return store_of(tmp_path_factory.mktemp("store"), [300, 1, 450, 272])


def test_reads_across_shards(store: PatchStore) -> None:
    assert len(store) == 1023
    assert ids_of(store.read(290, 760)) == list(range(290, 760))
    assert list(map(len, store.blocks())) == [256, 256, 256, 255]
    assert ids_of(np.concatenate(list(store.blocks()))) == list(range(1023))
    assert store.read(5, 5).shape == (0, 16, 16, 3)


def test_blocks_are_counted_when_they_are_done(
    store: PatchStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    lines = [
        (len(block), capsys.readouterr().err.split(",")[0])
        for block in store.blocks_with_progress("calibrate")
    ]
    assert lines == [(n, f"calibrate: {d} of 1023") for n, d in
                     ((256, 0), (256, 256), (256, 512), (255, 768))]  # fmt: skip
    assert capsys.readouterr().err.startswith("calibrate: 1023 of 1023")


def test_patches_are_the_windows_of_the_catalogue(
    sixray: Path, catalogue: list[CatalogueRow], patches: Path
) -> None:
    store = PatchStore(patches, TEST)
    source = MasksSource(sixray, SIXRAY, stretched=True)
    for row in (row for row in catalogue if row.split == TEST):
        scan = source.read(row.entry())
        windows = keep_windows(scan, EXTRACT)
        mine = np.flatnonzero(store.scan_ids == row.scan_id)
        pixels = window_pixels(scan.image, windows.origins, EXTRACT)
        np.testing.assert_array_equal(store.read(mine[0], mine[-1] + 1), pixels)
        np.testing.assert_array_equal(store.origins[mine], windows.origins)
        assert tuple(store.labels[mine]) == windows.labels
    counts = read_manifest(patches)["splits"][TEST]
    assert counts["classes"] == dict(Counter(store.labels.tolist()))
    assert counts["grazing"] > 0


def test_more_shards_than_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.patches.store.OPEN_SHARDS", 3)
    store = store_of(tmp_path, [2] * 5)
    for _ in range(2):
        assert ids_of(store.read(0, len(store))) == list(range(len(store)))


def test_the_shard_not_read_for_longest_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.patches.store.OPEN_SHARDS", 2)
    store_of(tmp_path, [2] * 3)
    opened: list[str] = []

    def open_shard(path: Path) -> Shard:
        opened.append(path.name)
        return Shard(path)

    store = PatchStore(tmp_path, TRAIN, open_shard)
    for number in (0, 1, 0, 2, 0, 1):
        assert ids_of(store.read(2 * number, 2 * number + 1)) == [2 * number]
    assert opened == [f"train-{number}.h5" for number in (0, 1, 2, 1)]


def test_a_damaged_shard_is_named_with_what_rebuilds_it(tmp_path: Path) -> None:
    store = store_of(tmp_path, [64])
    shard = tmp_path / "train-0.h5"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"train-0\.h5: not a whole shard .*dvc repro -sf extract"):
        store.read(0, 1)


def test_a_shard_that_is_not_the_manifest_s_is_refused(tmp_path: Path) -> None:
    store_of(tmp_path / "other", [9])
    store = store_of(tmp_path, [8])
    (tmp_path / "other" / "train-0.h5").replace(tmp_path / "train-0.h5")
    with pytest.raises(InputError, match=r"train-0\.h5: 9 patches, expected 8: run"):
        store.read(0, 1)


@pytest.mark.parametrize(("key", "value"), [("channels", 1), ("settings", {"size": 32})])
def test_shards_of_other_patches_than_the_manifest_says_are_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    store_of(tmp_path, [4])
    write_manifest(tmp_path, {**read_manifest(tmp_path), key: value})
    message = r"train-0\.h5: patches of \(16, 16, 3\), expected "
    with pytest.raises(InputError, match=message):
        PatchStore(tmp_path, "train").read(0, 1)


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    store_of(tmp_path, [8])
    manifest = {**read_manifest(tmp_path), "format": 1}
    write_manifest(tmp_path, manifest)
    with pytest.raises(InputError, match=r"manifest\.json: format 1, expected 3: run"):
        PatchStore(tmp_path, TRAIN)


def test_an_unfinished_folder_and_an_unknown_split_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json: no such file"):
        PatchStore(tmp_path, TRAIN)
    store_of(tmp_path, [8])
    with pytest.raises(InputError, match="no split 'tset'"):
        PatchStore(tmp_path, "tset")
