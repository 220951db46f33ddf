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

POLL_SECONDS = 0.5


@contextmanager
def exclusive_lock(storage: Storage, name: str) -> Iterator[None]:
    """Hold the lock `name` in `storage` during a `with` block; wait while another process has it.

    The operating system releases the lock of a process that dies. Storage at an address, such as
    `s3://`, cannot be locked; the block then runs without a lock.

    Raises:
        InputError: the folder of the storage is not writable.
    """
    if storage.is_address:
        yield
        return
    place = Path(storage.place) / f"{name}.lock"
    try:
        lock = _acquire(place)
    except OSError as error:
        raise InputError(f"{place}: {error}: make the storage writable, or set another") from None
    try:
        yield
    finally:
        lock.release()


def _acquire(place: Path) -> BaseFileLock:
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        time.sleep(POLL_SECONDS)  # a process that has just taken the lock is writing its name
        holder = place.read_text(encoding="utf-8") or "another process"
        print(f"{place}: {holder} is at work on this: waiting", file=terminal.err(), flush=True)
        lock.acquire(poll_interval=POLL_SECONDS)
    place.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    return lock
