"""What every stage shares: where files are, and how wrong input is said."""

import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import InputError

SCANS = Path("data/scans")
PATCHES = Path("data/patches")
SWEEP = Path("results/tune")
TRAINED = Path("results/train")
EVALUATED = Path("results/evaluate")
PROTOCOLS = Path("work/protocols")  # what a killed training by protocols goes on from

MODEL = "model.pt"
HISTORY = "history.csv"


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage; wrong input ends it with one line and status 1, without a traceback."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
