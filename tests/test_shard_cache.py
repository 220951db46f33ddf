"""Shared patches and a node's copies; a folder of its own stands for the shared storage."""

import json
import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from pyarrow.fs import LocalFileSystem

from pipeline.cluster.storage import Storage
from pipeline.common.errors import InputError
from pipeline.patches.manifest import MANIFEST, write_manifest
from pipeline.patches.node_cache import ShardCache
from pipeline.patches.store import PatchStore
from pipeline.patches.upload import SharedPatches, open_store, upload_patches
from tests.stores import DATA, ids_of, store_of

LENGTHS = [300, 200, 400, 100]
TOTAL = sum(LENGTHS)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedPatches:
    """Uploaded patches whose folder is on none of the nodes, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    store_of(tmp_path / "patches", LENGTHS)
    found = upload_patches(tmp_path / "patches", Storage(str(tmp_path / "storage")), cache_gb=1)
    assert found is not None
    return found


def sizes(shared: SharedPatches) -> list[int]:
    return [path.stat().st_size for path in sorted(Path(shared.path_or_uri).glob("*.h5"))]


def copies(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*.h5"))


def cached(shared: SharedPatches, tmp_path: Path, budget: int) -> PatchStore:
    cache = ShardCache(shared.path_or_uri, shared.data, budget, tmp_path / "cache")
    return PatchStore(cache.folder, "train", cache.open)


def read_all(uri: str, root: Path, budget: int) -> None:
    """What a worker of the node does: it reads every patch, in small pieces out of order."""
    cache = ShardCache(uri, DATA, budget, root)
    store = PatchStore(cache.folder, "train", cache.open)
    for start in np.random.default_rng().permutation(np.arange(0, TOTAL, 25)).tolist():
        assert ids_of(store.read(start, start + 25)) == list(range(start, start + 25))


@pytest.mark.parametrize("address", ["", "local"])
def test_on_one_machine_nothing_is_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    store_of(tmp_path / "patches", LENGTHS)
    assert upload_patches(tmp_path / "patches", Storage(str(tmp_path / "storage")), 1) is None
    assert not (tmp_path / "storage").exists()


def test_only_what_is_missing_is_uploaded(shared: SharedPatches, tmp_path: Path) -> None:
    there = Path(shared.path_or_uri)
    (there / MANIFEST).unlink()  # as if killed before the last shard
    (there / "train-2.h5").unlink()
    before = {path: path.stat().st_mtime_ns for path in there.glob("*.h5")}
    upload_patches(tmp_path / "patches", Storage(str(tmp_path / "storage")), 1)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert {path.name for path in there.iterdir()} == {
        path.name for path in (tmp_path / "patches").iterdir()
    }


def test_a_shard_of_another_size_is_uploaded_again(shared: SharedPatches, tmp_path: Path) -> None:
    there, before = Path(shared.path_or_uri), sizes(shared)
    (there / MANIFEST).unlink()
    (there / "train-2.h5").write_bytes(b"cut short")
    upload_patches(tmp_path / "patches", Storage(str(tmp_path / "storage")), 1)
    assert sizes(shared) == before


def test_the_size_of_the_cache_is_in_gigabytes(shared: SharedPatches) -> None:
    assert shared.cache_bytes == 10**9


def test_to_an_address_is_uploaded_whether_or_not_a_cluster_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    store_of(tmp_path / "patches", LENGTHS)
    storage = Storage((tmp_path / "storage").as_uri())
    assert storage.is_uri
    assert upload_patches(tmp_path / "patches", storage, 1) is not None
    assert len(list((tmp_path / "storage").rglob("*.h5"))) == len(LENGTHS)


def test_storage_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    store_of(tmp_path / "patches", LENGTHS)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/patches/0123456789abcdef: cannot be written"):
        upload_patches(tmp_path / "patches", Storage(str(tmp_path / "file")), 1)


def test_a_folder_that_is_readable_is_read_in_place(shared: SharedPatches, tmp_path: Path) -> None:
    assert ids_of(open_store(tmp_path / "patches", "train", shared).read(0, 5)) == list(range(5))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("other", [None, "other"])
def test_a_folder_of_other_patches_or_none_is_not(
    shared: SharedPatches, tmp_path: Path, other: str | None
) -> None:
    if other:
        write_manifest(tmp_path / "elsewhere", {"data": other})
    store = open_store(tmp_path / "elsewhere", "train", shared)
    assert ids_of(store.read(0, TOTAL)) == list(range(TOTAL))
    assert copies(tmp_path) == [f"train-{number}.h5" for number in range(4)]


def test_only_the_shards_that_are_read_are_copied(shared: SharedPatches, tmp_path: Path) -> None:
    cached(shared, tmp_path, 10**9).read(310, 320)
    assert copies(tmp_path) == ["train-1.h5"]


def test_the_one_not_opened_for_longest_gives_way(shared: SharedPatches, tmp_path: Path) -> None:
    store = cached(shared, tmp_path, sum(sizes(shared)) - 1)
    for start in (0, 310, 510):
        store.read(start, start + 10)
    del store  # which closes its shards
    cached(shared, tmp_path, sum(sizes(shared)) - 1).read(0, 10)
    cached(shared, tmp_path, sum(sizes(shared)) - 1).read(950, 960)
    assert copies(tmp_path) == ["train-0.h5", "train-2.h5", "train-3.h5"]


def test_copies_of_other_patches_give_way_too(shared: SharedPatches, tmp_path: Path) -> None:
    budget = sum(sizes(shared))
    others = tmp_path / "cache" / "fedcba9876543210"
    others.mkdir(parents=True)
    for number in (1, 0):
        path = others / f"train-{number}.h5"
        path.write_bytes(bytes(budget // 2))
        os.utime(path, (number, number))
    cached(shared, tmp_path, budget).read(0, 10)
    assert [path.name for path in others.glob("*.h5")] == ["train-1.h5"]
    cached(shared, tmp_path, budget).read(0, TOTAL)
    assert copies(tmp_path) == [f"train-{number}.h5" for number in range(4)]
    assert not list(others.glob("*.h5"))


def test_what_is_in_use_stays_and_the_parameter_is_named(
    shared: SharedPatches, tmp_path: Path
) -> None:
    budget = max(sizes(shared))
    using = cached(shared, tmp_path, budget)
    using.read(510, 520)
    with pytest.raises(InputError, match=r"cache_gb: .* no room for train-0\.h5 .*: raise it"):
        cached(shared, tmp_path, budget).read(0, 10)
    assert copies(tmp_path) == ["train-2.h5"]
    assert ids_of(using.read(0, 5)) == list(range(5))  # its own give way


def test_a_damaged_shared_shard_is_named_and_not_kept(
    shared: SharedPatches, tmp_path: Path
) -> None:
    damaged = Path(shared.path_or_uri) / "train-0.h5"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(InputError, match=r"train-0\.h5: damaged: remove"):
        cached(shared, tmp_path, 10**9).read(0, 10)
    assert not list((tmp_path / "cache").rglob("*train-0.h5*[!k]"))


def test_a_damaged_copy_is_made_again(shared: SharedPatches, tmp_path: Path) -> None:
    cached(shared, tmp_path, 10**9).read(0, TOTAL)
    folder = tmp_path / "cache" / DATA[:16]
    (folder / MANIFEST).write_text("{")
    (folder / "train-0.h5").write_bytes(b"cut short")
    content = bytearray((folder / "train-1.h5").read_bytes())
    content[len(content) // 2] ^= 1  # in a patch, so only its read finds it
    (folder / "train-1.h5").write_bytes(content)
    store = cached(shared, tmp_path, 10**9)
    assert ids_of(store.read(0, 10)) == list(range(10))
    with pytest.raises(InputError, match=r"train-1\.h5: patch .* this copy is removed: run it"):
        store.read(300, 500)
    assert ids_of(cached(shared, tmp_path, 10**9).read(300, 500)) == list(range(300, 500))


def test_a_missing_shared_shard_is_named(shared: SharedPatches, tmp_path: Path) -> None:
    (Path(shared.path_or_uri) / "train-0.h5").unlink()
    with pytest.raises(InputError, match=r"train-0\.h5: no copy made"):
        cached(shared, tmp_path, 10**9).read(0, 10)


def test_patches_that_are_nowhere_are_named(shared: SharedPatches, tmp_path: Path) -> None:
    (Path(shared.path_or_uri) / MANIFEST).unlink()
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read"):
        open_store(tmp_path / "elsewhere", "train", shared)


def test_what_a_killed_copy_left_is_not_taken_for_a_shard(
    shared: SharedPatches, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / DATA[:16]
    folder.mkdir(parents=True)
    (folder / ".train-0.h5.tmp").write_bytes(b"half")
    (folder / ".gone.h5.tmp").write_bytes(b"half" * 10**6)
    store = cached(shared, tmp_path, sum(sizes(shared)))
    assert ids_of(store.read(0, TOTAL)) == list(range(TOTAL))
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.slow
def test_workers_of_a_node_share_a_small_cache(shared: SharedPatches, tmp_path: Path) -> None:
    budget = 3 * max(sizes(shared))
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=read_all, args=(shared.path_or_uri, tmp_path / "cache", budget))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.h5")) <= budget


@pytest.mark.slow
def test_a_shard_that_another_process_copies_is_not_copied_twice(
    shared: SharedPatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = []

    def slow_copy(cache: ShardCache, name: str, target: Path) -> str:
        copied.append((name, target.stat().st_size))  # the room is taken before it is filled
        time.sleep(0.3)
        return copy(cache, name, target)

    copy = ShardCache._copy
    monkeypatch.setattr(ShardCache, "_copy", slow_copy)
    with ThreadPoolExecutor(2) as workers:
        stores = [cached(shared, tmp_path, 10**9) for _ in range(2)]
        found = list(workers.map(lambda store: ids_of(store.read(0, 5)), stores))
    assert found == [list(range(5))] * 2
    assert copied == [("train-0.h5", sizes(shared)[0])]


@pytest.mark.slow
def test_room_that_one_process_has_made_is_not_given_to_another(
    shared: SharedPatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_making(cache: ShardCache, size: int, name: str) -> None:
        make(cache, size, name)
        time.sleep(0.3)  # before the room is reserved

    make = ShardCache._make_room
    monkeypatch.setattr(ShardCache, "_make_room", slow_making)
    budget = max(sizes(shared))
    with ThreadPoolExecutor(2) as workers:
        stores = [cached(shared, tmp_path, budget) for _ in range(2)]
        reads = [
            workers.submit(store.read, start, start + 5)
            for store, start in zip(stores, (0, 510), strict=True)
        ]
        errors = [read.exception() for read in reads]
    assert [str(error)[:9] for error in errors if error] == ["cache_gb:"]
    assert len(copies(tmp_path)) == 1


@pytest.mark.parametrize("breaks_at", ["train-2.h5", MANIFEST])
def test_an_upload_that_broke_off_leaves_no_file_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks_at: str
) -> None:
    class Breaking(LocalFileSystem):  # type: ignore[misc]  # pyarrow has no types
        def move(self, beside: str, place: str) -> None:
            if Path(place).name == breaks_at:
                raise KeyboardInterrupt
            super().move(beside, place)

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(Storage, "open", lambda storage: (Breaking(), storage.path_or_uri))
    store_of(tmp_path / "patches", LENGTHS)
    with pytest.raises(KeyboardInterrupt):
        upload_patches(tmp_path / "patches", Storage(str(tmp_path / "storage")), cache_gb=1)
    named = {path.name for path in (tmp_path / "storage").rglob("*.*") if path.suffix != ".tmp"}
    before = [*(f"train-{number}.h5" for number in range(4)), MANIFEST]
    assert named == set(before[: before.index(breaks_at)])


def test_the_shared_manifest_lists_sizes_and_digests(shared: SharedPatches) -> None:
    shards = json.loads((Path(shared.path_or_uri) / MANIFEST).read_text())["splits"]["train"][
        "shards"
    ]
    assert [shard["bytes"] for shard in shards] == sizes(shared)


def test_a_manifest_on_the_storage_cannot_write_elsewhere(
    shared: SharedPatches, tmp_path: Path
) -> None:
    path = Path(shared.path_or_uri) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"]["shards"][0]["file"] = "../../stolen.h5"
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"shards\[0\].file: got '../../stolen.h5'"):
        cached(shared, tmp_path, 10**9)
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_a_manifest_of_other_patches_is_refused(shared: SharedPatches, tmp_path: Path) -> None:
    path = Path(shared.path_or_uri) / MANIFEST
    path.write_text(path.read_text().replace(DATA, DATA[::-1]))
    with pytest.raises(InputError, match=r"manifest.json: of other patches: remove it"):
        cached(shared, tmp_path, 10**9)


def test_what_is_no_shard_gets_no_name(shared: SharedPatches, tmp_path: Path) -> None:
    folder = Path(shared.path_or_uri)
    manifest = json.loads((folder / MANIFEST).read_text())
    entry = manifest["splits"]["train"]["shards"][0]
    (folder / entry["file"]).write_bytes(b"#!/bin/sh")
    entry |= {"bytes": 9, "sha256": sha256(b"#!/bin/sh").hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    store = cached(shared, tmp_path, 10**9)
    with pytest.raises(InputError, match="not a whole shard"):
        store.read(0, 1)
    assert copies(tmp_path) == []
