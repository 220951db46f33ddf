"""Runs a stage: `python -m stages NAME`, as `dvc.yaml` does.

A signal ends the process from the start on: a stage's imports take seconds, and some of them would
swallow a Ctrl-C.
"""

import argparse
from collections.abc import Callable
from functools import partial
from importlib import import_module

from stages.entry import run_stage, stop_at_once
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
    """Run a stage whose parameters and code have to be the same until its end."""
    before = inputs_of(name)
    stage()
    require_unchanged(name, before)


if __name__ == "__main__":
    main()
