"""What every stage shares: where files are, how wrong input is said, and how a signal ends it."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from pipeline.common.errors import InputError

SCANS = Path("data/scans")
PATCHES = Path("data/patches")
SWEEP = Path("results/tune")
TRAINED = Path("results/train")
EVALUATED = Path("results/evaluate")

MODEL = "model.pt"
HISTORY = "history.csv"


SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_STOP = 8.0  # for Ray and MLflow, after a signal


def stop_at_once() -> None:
    """Until a stage is at work, let a signal end the process on the spot."""
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: _exit(number))


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage.

    Wrong input ends it with one line and status 1. So does SIGTERM or Ctrl-C, with 128 and the
    signal's number as shells say it; what is done is kept, and a rerun goes on from there.
    """
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        _exit(_stopped_by[0])


_stopped_by: list[int] = []


def _stop(number: int, _frame: FrameType | None) -> None:
    """End the work in order, or at once where that takes long or the signal comes again."""
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
    print(f"stopped by {name}: run it again and it goes on", file=sys.stderr, flush=True)
    os._exit(128 + number)  # what threads of libraries still do is not waited for
