"""Patches on storage that every node reaches: uploaded once, opened on each worker's node."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyarrow.fs import FileSystem, LocalFileSystem, copy_files

from pipeline.cluster.preflight import runs_here
from pipeline.cluster.storage import Storage
from pipeline.common import terminal
from pipeline.common.errors import InputError, first_line
from pipeline.common.files import file_digest
from pipeline.patches.manifest import MANIFEST, read_manifest
from pipeline.patches.node_cache import ShardCache
from pipeline.patches.store import PatchStore


@dataclass(frozen=True)
class SharedPatches:
    """The uploaded patches, for nodes that cannot read the patches' own folder.

    Attributes:
        path_or_uri: their folder, or their URI on a file system that pyarrow opens.
        data: digest of the patches.
        cache_bytes: disk space that a node's copies of shards may take.
    """

    path_or_uri: str
    data: str
    cache_bytes: int


def upload_patches(folder: Path, storage: Storage, cache_gb: float) -> SharedPatches | None:
    """Upload the shards that `storage` lacks; return None if all workers are on this machine.

    Raises:
        InputError: the patches are not finished, or the storage cannot be written.
    """
    if runs_here() and not storage.is_uri:
        return None
    manifest = read_manifest(folder)
    target = storage.child("patches").child(manifest["data"][:16])
    try:
        _upload(folder, manifest, target)
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({first_line(error)}): make it writable, or set storage "
            "in params.yaml to another folder or address"
        ) from None
    return SharedPatches(target.path_or_uri, manifest["data"], int(cache_gb * 1e9))


def open_store(folder: Path, split: str, shared: SharedPatches | None) -> PatchStore:
    """Open the patches of a split: in `folder` if they are there, else through the node's cache.

    Raises:
        InputError: the patches are neither in `folder` nor on the shared storage.
    """
    if shared is None or _holds(folder, shared.data):
        return PatchStore(folder, split)
    cache = ShardCache(shared.path_or_uri, shared.data, shared.cache_bytes)
    return PatchStore(cache.folder, split, cache.open)


def _upload(folder: Path, manifest: dict[str, Any], target: Storage) -> None:
    """Upload the shards to `target` and, last, the manifest with their sizes and digests."""
    filesystem, path_there = target.open()
    if filesystem.get_file_info(f"{path_there}/{MANIFEST}").is_file:
        return
    filesystem.create_dir(path_there, recursive=True)
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    for shard in terminal.progress("upload", len(shards), "shard", shards):
        path = folder / shard["file"]
        shard |= {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        if filesystem.get_file_info(f"{path_there}/{path.name}").size != shard["bytes"]:
            _put(path, filesystem, f"{path_there}/{path.name}")
    temporary = _temporary_name(f"{path_there}/{MANIFEST}")
    with filesystem.open_output_stream(temporary) as file:
        file.write(json.dumps(manifest, indent=2).encode())
    filesystem.move(temporary, f"{path_there}/{MANIFEST}")


def _put(path: Path, filesystem: FileSystem, place: str) -> None:
    temporary = _temporary_name(place)
    copy_files(
        str(path.resolve()),
        temporary,
        source_filesystem=LocalFileSystem(),
        destination_filesystem=filesystem,
    )
    filesystem.move(temporary, place)


def _temporary_name(place: str) -> str:
    """Return another name in the same folder, to write under: writing may break off."""
    return f"{place}.{uuid4().hex}.tmp"


def _holds(folder: Path, data: str) -> bool:
    try:
        return bool(read_manifest(folder).get("data") == data)
    except InputError:
        return False
