"""One process at a time on a training or a sweep."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from pipeline.cluster.storage import Storage
from pipeline.common.errors import InputError

POLL_SECONDS = 0.5


@contextmanager
def exclusive_lock(storage: Storage, name: str) -> Iterator[None]:
    """Hold `name` in `storage` for the time of a `with` block, after whoever has it.

    The operating system lets go of the lock of a process that dies. At an address
    (`s3://` and its kin) there is nothing to lock, and so no lock.

    Raises:
        InputError: nothing can be written in the folder.
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
        time.sleep(POLL_SECONDS)  # whoever has only just taken it writes its name now
        holder = place.read_text(encoding="utf-8") or "another process"
        print(f"{place}: {holder} is at work on this: waiting", flush=True)
        lock.acquire(poll_interval=POLL_SECONDS)
    place.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    return lock
