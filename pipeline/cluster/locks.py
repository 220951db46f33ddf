"""A lock that lets one process at a time work on a training run or a sweep."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from pipeline.cluster.storage import Storage
from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import project_root

POLL_SECONDS = 0.5


@contextmanager
def exclusive_lock(storage: Storage, name: str) -> Iterator[None]:
    """Hold the lock `name` in `storage` during a `with` block; wait while another process has it.

    The operating system releases the lock of a process that dies. Storage at a URI, such as
    `s3://`, is locked only against other runs of this project on this machine.

    Raises:
        InputError: the folder of the lock is not writable.
    """
    folder = project_root() / "work" / "locks" if storage.is_uri else Path(storage.path_or_uri)
    path = folder / f"{name}.lock"
    try:
        lock = _acquire(path)
    except OSError as error:
        raise InputError(f"{path}: {error}: make the storage writable, or set another") from None
    try:
        yield
    finally:
        lock.release()


def _acquire(path: Path) -> BaseFileLock:
    """Acquire the lock, and name this process in a file beside it.

    Without `flock`, the content of the lock file tells filelock whether its holder lives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(path), path.with_suffix(".holder")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        time.sleep(POLL_SECONDS)  # a process that has just taken the lock is writing its name
        name = holder.read_text(encoding="utf-8") if holder.exists() else ""
        print(
            f"{path}: {name or 'another process'} holds this lock: waiting for it",
            file=terminal.err(),
            flush=True,
        )
        lock.acquire(poll_interval=POLL_SECONDS)
    holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    return lock
