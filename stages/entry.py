"""The stages' paths, and `run_stage`, which reports wrong input and ends a stage on a signal."""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from pipeline.common import terminal
from pipeline.common.errors import InputError, on_one_line
from pipeline.common.files import project_root
from pipeline.common.lines import escape_unprintable, mask_credentials

SCANS = Path("data/scans")
PATCHES = Path("data/patches")
SWEEP = Path("results/tune")
TRAINED = Path("results/train")
EVALUATED = Path("results/evaluate")
SCREENED = Path("results/screen")
# Of the command `skipscan screen`: DVC would remove them from the folder of the stage.
SCREENINGS = Path("results/screenings")
# Not in the results: DVC would run the next stage again for another log.
LOGS = Path("logs")

MODEL = "model.pt"
HISTORY = "history.csv"


# Errors that the user can mend, and how.
SYSTEM_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, and run it again"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "let this user read and write it, and run it again",
    ),
}
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_STOP = 8.0  # for Ray and MLflow, after a signal


def stage_log(stage: str) -> Path:
    """Return the log file of a stage.

    In the copy that `dvc exp run --temp` or `--queue` runs in and removes, this file is in the
    original project, in a folder with the name of the experiment.
    """
    file, root = LOGS / f"{stage}.txt", project_root()
    if root == Path.cwd().resolve():
        return file
    return root / LOGS / os.environ.get("DVC_EXP_NAME", "") / file.name


def stop_at_once() -> None:
    """Let a signal end the process at once; `run_stage` replaces this when the stage starts."""
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: _exit(number))


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage.

    Wrong input ends it with one line and status 1. SIGTERM or Ctrl-C ends it with one line and
    status 128 plus the signal's number, as in shells; finished work is kept for a rerun.
    """
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        main()
        if _stopped_by:  # a finalizer or a library's callback may swallow the error of `_stop`
            _exit(_stopped_by[0])
    except KeyboardInterrupt:
        _exit(_stopped_by[0])
    except Exception as error:
        print(f"error: {_in_one_line(error)}", file=terminal.err())
        sys.exit(1)
    finally:
        stop_at_once()


def _in_one_line(error: Exception) -> str:
    """Return what is wrong and what to do; a fault of ours goes to the log with its traceback.

    Raises:
        Exception: `error` itself, if it is a fault of ours and there is no log.
    """
    if isinstance(error, InputError):
        return escape_unprintable(mask_credentials(str(error)))
    if isinstance(error, OSError) and error.errno in SYSTEM_ERRORS:
        file = error.filename or "a file of this stage"  # the error of a write names none
        return f"{file}: {error.strerror}: {SYSTEM_ERRORS[error.errno]}"
    if terminal.log() is None:
        raise error
    traceback.print_exc()
    line = escape_unprintable(on_one_line(error, 200))
    return (
        f"{type(error).__name__}: {line}: a fault of SkipScan; {terminal.log()} has its traceback"
    )


_stopped_by: list[int] = []


def _stop(number: int, _frame: FrameType | None) -> None:
    """End the stage by KeyboardInterrupt; at once after `SECONDS_TO_STOP` or a second signal."""
    if _stopped_by:
        _exit(number)
    _stopped_by.append(number)
    late = threading.Timer(SECONDS_TO_STOP, _exit, [number])
    late.daemon = True
    late.start()
    raise KeyboardInterrupt


def _exit(number: int) -> None:
    name = signal.Signals(number).name
    sys.stdout.flush()
    print(f"stopped by {name}: run it again to resume", file=terminal.err(), flush=True)
    os._exit(128 + number)  # does not wait for the threads of libraries
