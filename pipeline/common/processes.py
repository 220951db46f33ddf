"""Ends a process together with its parent, and tells whether a process is alive."""

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """End this process, started by `multiprocessing`, as soon as its parent has ended.

    A pool's processes wait for work on a pipe that they hold open themselves: after a kill -9 of
    their parent they would wait for ever.
    """
    Thread(target=_watch_parent, daemon=True).start()


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine has this id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _watch_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
