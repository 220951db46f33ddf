"""One process at a time on a training or a sweep."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.5


@contextmanager
def alone_on(storage: str, name: str) -> Iterator[None]:
    """Hold `name` in the folder `storage` for the time of a `with` block, after whoever has it.

    The operating system lets go of the lock of a process that dies. At an address
    (`s3://` and its kin) there is nothing to lock, and so no lock.
    """
    if "://" in storage:
        yield
        return
    place = Path(storage) / f"{name}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{place}: {place.read_text() or 'another process'} is at work on this: waiting")
        lock.acquire(poll_interval=POLL_SECONDS)
    try:
        place.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()
