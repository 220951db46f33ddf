"""A folder for Ray's files that no other user can enter.

Ray's workers import code from Ray's own folder, and Ray lets every user write there.
"""

import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import write_atomically

DEFAULT = "/tmp"  # noqa: S108  # Ray's own default
MAX_SOCKET_BYTES = 107  # the longest path of a socket on Linux
# The longest path of a socket that Ray makes, relative to the process's folder.
LONGEST_SOCKET = "session_2000-01-01_00-00-00_000000_{pid}/sockets/dash_TaskEventsHead"
MIN_FREE_BYTES = 50_000_000  # bytes; Ray's logs and sockets take 8 MB at its start
LOCK = ".lock"  # the process holds it until it ends
REMOVALS = 20  # tries to remove a folder, 0.1 s apart


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a new folder for this process; remove it at the end, unless there was an error.

    The new folder is in the user's own folder `skipscan-UID` in RAY_TMPDIR, TMPDIR or /tmp. Folders
    of processes that have ended are removed first.

    Raises:
        InputError: the user's own folder belongs to someone else, others can enter it, or its disk
            is full.
    """
    mine = users_folder(short_base())
    with FileLock(mine / LOCK):
        _remove_unused(mine)
        require_room(mine)
        folder = Path(tempfile.mkdtemp(prefix="", dir=mine))
        in_use = FileLock(folder / LOCK)
        in_use.acquire()
    yield folder  # after an error the folder stays, for its logs, until the next start
    in_use.release()
    _remove(folder)


def remove_left_folders() -> None:
    """Remove the folders of processes that have ended, for a stage that may need no Ray itself."""
    for base in {_wanted_base(), Path(DEFAULT)}:
        mine = base / f"skipscan-{os.getuid()}"
        if mine.is_dir() and _is_private(mine):  # in any other folder there is nothing of ours
            with FileLock(mine / LOCK):
                _remove_unused(mine)


def require_room(folder: Path) -> None:
    """Refuse to start Ray on a full disk, which it would report after a minute, by a traceback.

    Raises:
        InputError: less than `MIN_FREE_BYTES` is free where `folder` is.
    """
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise InputError(
            f"{folder}: {free / 1e6:.0f} MB free, expected {MIN_FREE_BYTES / 1e6:.0f} MB or more "
            "for Ray's own files: make room, or set RAY_TMPDIR to a folder on another disk"
        )


def short_base() -> Path:
    """Return RAY_TMPDIR, TMPDIR or /tmp.

    Returns /tmp as well if that folder is missing, or if paths of sockets in it would be too long.
    """
    base = _wanted_base()
    longest = f"{base}/skipscan-{os.getuid()}/abcdefgh/{LONGEST_SOCKET.format(pid=os.getpid())}"
    if len(os.fsencode(longest)) <= MAX_SOCKET_BYTES:
        return base
    print(
        f"TMPDIR or RAY_TMPDIR is too long for Ray's sockets: Ray's own files are in {DEFAULT}",
        file=terminal.err(),
    )
    return Path(DEFAULT)


def _wanted_base() -> Path:
    named = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or DEFAULT)
    return named.absolute() if named.is_dir() else Path(DEFAULT)  # as Python's tempfile


def users_folder(base: Path) -> Path:
    """Return the user's own folder in `base`; make it if it is missing.

    Raises:
        InputError: the folder belongs to someone else, or others can enter it.
    """
    folder = base / f"skipscan-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(folder):
        raise InputError(
            f"{folder}: expected a folder of your own that nobody else can enter (mode 0700), "
            "since Ray loads code from there: remove it, or set RAY_TMPDIR to another folder"
        )
    return folder


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return mine and not found.st_mode & 0o077


def private_token(mine: Path) -> Path:
    """Return the file with Ray's token, which only the user can read; make it if it is missing.

    Ray's processes authenticate to each other with the token. The file is ~/.ray/auth_token, which
    all of the user's Ray sessions share, or one in `mine`, the user's own folder, if ~/.ray is not
    writable.
    """
    usual, other = Path.home() / ".ray" / "auth_token", mine / "token"
    with FileLock(mine / LOCK):  # a stage that starts at the same time reads a whole token
        try:
            usual.parent.mkdir(parents=True, exist_ok=True)
            _keep_token(usual)
        except OSError:
            _keep_token(other)
            return other
    return usual


def _keep_token(path: Path) -> None:
    if path.exists() and path.stat().st_size:  # it would be empty after a kill, or on a full disk
        path.chmod(0o600)  # Ray itself makes a file that everybody can read
        return
    write_atomically(path, secrets.token_hex(32).encode(), mode=0o600)


def _remove_unused(mine: Path) -> None:
    """Remove the folders of processes that have ended."""
    for folder in mine.iterdir():
        if folder.is_dir():
            # A timeout means that the process of the folder lives.
            with suppress(Timeout), FileLock(folder / LOCK, timeout=0):
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, into which a process of Ray that is about to end may still write."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
