"""Lines and progress for the person at the terminal, apart from the output of libraries.

A stage sends all that is printed, also by libraries and by the processes that it starts, to a log
file (`send_output_to`). The lines and bars of this module still go to the terminal.
"""

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from pipeline.common.errors import InputError

SECONDS_BETWEEN_LINES = 15  # of progress, where no terminal shows a bar
LINE = "{desc}: {n_fmt} of {total_fmt}, {elapsed} gone, {remaining} left{postfix}"
_terminal: list[TextIO] = []  # stdout and stderr as they were before `send_output_to`
_log: list[Path] = []  # the file that has taken their place


def out() -> TextIO:
    """Return the stream for results: stdout, also when the log file has taken its place."""
    return _terminal[0] if _terminal else sys.stdout


def err() -> TextIO:
    """Return the stream for messages and progress: stderr, also beside a log file."""
    return _terminal[1] if _terminal else sys.stderr


def log() -> Path | None:
    """Return the log file; None before `send_output_to`."""
    return _log[0] if _log else None


def send_output_to(path: Path) -> None:
    """Send all that this process and its children print to a file from now on.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: make it writable, for the log") from None
    with file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            terminal = os.fdopen(os.dup(stream.fileno()), "w", buffering=1, encoding="utf-8")
            os.dup2(file.fileno(), stream.fileno())
            _terminal.append(terminal)
    _log.append(path)


def progress(
    what: str, total: int, unit: str, items: Iterable[Any] = (), done: int = 0
) -> "tqdm[Any]":
    """Show how much of some work is done, with the time that is left.

    In a terminal this is a bar, which goes when the work is done. In a file it is a line every 15
    seconds, and none for work that takes less.

    Args:
        what: the work.
        total: number of its parts.
        unit: the name of one part.
        items: the parts, to iterate over; without them call `update` for each.
        done: number of parts that an earlier run has done, which take no time now.
    """
    # By default tqdm looks at the clock only after as many parts as its last line had added.
    shown_as: dict[str, Any] = {"file": err(), "miniters": 0}
    if not err().isatty():
        waits = dict.fromkeys(("mininterval", "maxinterval", "delay"), SECONDS_BETWEEN_LINES)
        shown_as |= {"file": _Lines(), "bar_format": LINE, **waits}
    # Smoothing 0: the time that is left is by the mean of all parts so far.
    return tqdm(items, what, total, leave=False, unit=unit, smoothing=0, initial=done, **shown_as)


def set_progress(shown: "tqdm[Any]", done: float) -> None:
    """Show how many parts of some work are done; 2.25: two, and a quarter of the next."""
    shown.n = round(done, 2) if done % 1 else int(done)
    shown.update(0)


class _Lines(io.StringIO):
    """Prints each update of tqdm, which would overwrite its last line, on a new line."""

    def write(self, text: str) -> int:
        if line := text.strip():
            print(line, file=err(), flush=True)
        return len(text)
