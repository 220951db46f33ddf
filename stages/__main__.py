"""Runs a stage: `python -m stages NAME`, as `dvc.yaml` does.

A signal ends the process from the start on: a stage's imports take seconds, and some of them would
swallow a Ctrl-C.
"""

import argparse
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib import import_module

from pipeline.common import terminal
from stages.entry import LOGS, run_stage, stop_at_once
from stages.unchanged import inputs_of, require_unchanged

STAGES = ("scans", "extract", "tune", "train", "evaluate")
OTHERS = ("params", "track")


def main() -> None:
    """Run the stage that the command line names."""
    stop_at_once()
    parser = argparse.ArgumentParser(
        prog="python -m stages",
        description="Runs a stage of dvc.yaml, prints the parameters that hold, "
        "or logs what MLflow lacks of the results on disk.",
    )
    parser.add_argument("stage", choices=(*STAGES, *OTHERS))
    name = parser.parse_args().stage
    stage = import_module(f"stages.{name}").main
    run_stage(partial(run_unchanged, name, stage) if name in STAGES else stage)


def run_unchanged(name: str, stage: Callable[[], None]) -> None:
    """Run a stage whose parameters and code have to be the same until its end.

    The output of libraries goes to the stage's log file.
    """
    started = time.monotonic()
    terminal.send_output_to(LOGS / f"{name}.txt")
    before = inputs_of(name)
    stage()
    require_unchanged(name, before)
    seconds = timedelta(seconds=round(time.monotonic() - started))
    print(f"{name}: done in {seconds}", file=terminal.err())


if __name__ == "__main__":
    main()
