"""A node's copies of the shards that its workers read, within a budget of disk space.

The copies are in the user's cache folder (`XDG_CACHE_HOME`/skipscan), one for all processes of the
node. The first process that opens a shard copies it; others that open the shard wait. When room
is needed, the copies that were opened least recently are removed, except copies in use. HDF5's
shared lock on an open file shows that a copy is in use. If such a file were removed all the same,
its readers could still read it.
"""

import fcntl
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from pipeline.cluster.storage import Storage
from pipeline.common.errors import InputError, first_line
from pipeline.common.files import UNFINISHED, rename_durably, write_atomically
from pipeline.patches.manifest import MANIFEST, parse_manifest, read_manifest
from pipeline.patches.shard_file import Shard
from pipeline.patches.store import NoRoomError

CHUNK_BYTES = 2**22


class CachedShard(Shard):
    """A node's copy of a shard; if it is damaged it is removed, and copied again when opened."""

    def _handle_damage(self) -> str:
        self._path.unlink(missing_ok=True)
        return "this copy is removed: run it again"


class ShardCache:
    """Opens the shards of one set of patches.

    Args:
        path_or_uri: the folder of the shared patches.
        data: digest of the patches.
        budget: bytes that all copies on the node may take.
        root: the node's cache folder; by default the user's.

    Attributes:
        folder: the folder of the copies; it has the manifest from the start.

    Raises:
        InputError: the patches at `path_or_uri` are incomplete, or cannot be read.
    """

    def __init__(self, path_or_uri: str, data: str, budget: int, root: Path | None = None) -> None:
        self._storage = Storage(path_or_uri)
        self._filesystem, self._place = self._storage.open()
        self._budget = budget
        self._root = root or user_cache_path("skipscan")
        self.folder = self._root / data[:16]
        try:
            manifest = read_manifest(self.folder)
        except InputError:  # missing or damaged
            manifest = self._fetch_manifest(data)
        splits = manifest["splits"].values()
        self._listed = {shard["file"]: shard for split in splits for shard in split["shards"]}

    def open(self, path: Path) -> Shard:
        """Open the shard of this name in `folder`; copy it there first if missing or damaged.

        Raises:
            NoRoomError: shards in use take up the budget.
            InputError: the shared copy is missing or damaged, or this node's disk is full.
        """
        with _lock(path):
            try:
                with suppress(InputError):  # missing or damaged
                    copy = CachedShard(path)
                    os.utime(path)
                    return copy
                self._fetch(path)
            except OSError as error:
                place = self._storage.child(path.name)
                raise InputError(
                    f"{place}: no copy made in {self.folder}: {first_line(error)}: make room "
                    "there, or remove the folder that the shard is in, to upload it again"
                ) from None
            return CachedShard(path)

    def _fetch_manifest(self, data: str) -> dict[str, Any]:
        place = str(self._storage.child(MANIFEST))
        try:
            with self._filesystem.open_input_file(f"{self._place}/{MANIFEST}") as file:
                content: bytes = file.read()
        except OSError as error:
            raise InputError(
                f"{place}: cannot be read: {first_line(error)}: make it readable, or remove the "
                "folder that it is in, to upload it again"
            ) from None
        manifest = parse_manifest(content, place)
        if manifest["data"] != data:
            raise InputError(f"{place}: of other patches: remove it, and run again")
        write_atomically(self.folder / MANIFEST, content)
        return manifest

    def _fetch(self, path: Path) -> None:
        temporary = path.with_name(f".{path.name}{UNFINISHED}")
        size = self._listed[path.name]["bytes"]
        with FileLock(self._root / "room.lock"):
            temporary.unlink(missing_ok=True)  # left by a process that was killed
            self._make_room(size, path.name)
            with temporary.open("wb") as file:
                file.truncate(size)  # reserves the room
        if self._copy(path.name, temporary) != self._listed[path.name]["sha256"]:
            temporary.unlink()
            raise InputError(
                f"{self._storage.child(path.name)}: damaged: remove the folder that it is in, "
                "and run again to upload it"
            )
        Shard(temporary).close()  # the manifest's author chose the digest: is it a shard?
        rename_durably(temporary, path)

    def _copy(self, name: str, target: Path) -> str:
        """Copy the shared file, and return the SHA-256 of the bytes received."""
        found = hashlib.sha256()
        with (
            self._filesystem.open_input_stream(f"{self._place}/{name}") as source,
            target.open("r+b") as file,
        ):
            while chunk := source.read(CHUNK_BYTES):
                found.update(chunk)
                file.write(chunk)
        return found.hexdigest()

    def _make_room(self, size: int, name: str) -> None:
        # Unfinished files first: a file renamed in between is then counted twice, never missed.
        copies = [*self._root.glob(f"*/.*{UNFINISHED}"), *self._root.glob("*/*.h5")]
        found = [(stat, path) for path in copies if (stat := _stat(path))]
        over = sum(stat.st_size for stat, _ in found) + size - self._budget
        for _, path in sorted(found, key=lambda copy: copy[0].st_mtime):
            if over > 0:
                over -= _remove_unused(path)
        if over > 0:
            raise NoRoomError(
                f"cache_gb: {self._budget / 1e9:g} have no room for {name} of {size / 1e9:.2g} GB "
                "beside the shards in use: raise it"
            )


def _lock(path: Path) -> FileLock:
    """Return the lock that a process holds while it copies, opens or removes this shard."""
    name = path.name.removeprefix(".").removesuffix(UNFINISHED)
    return FileLock(path.with_name(f"{name}.lock"))


def _stat(path: Path) -> os.stat_result | None:
    """Return the status of a copy; None if it has just been renamed or removed."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _remove_unused(path: Path) -> int:
    """Remove a copy unless it is in use; return the number of bytes freed."""
    try:
        with _lock(path).acquire(timeout=0), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            return os.fstat(file.fileno()).st_size
    except (Timeout, BlockingIOError, FileNotFoundError):
        return 0
