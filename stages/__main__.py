"""Runs a stage: `python -m stages NAME` as in `dvc.yaml`, or `skipscan NAME`.

A signal ends the process from the start on: a stage's imports take seconds, and some of them would
swallow a Ctrl-C.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path

from pipeline.common import terminal
from pipeline.common.files import scratch_folder
from pipeline.common.names import FALSE_ALARM_RATE
from stages.entry import MODEL, SCREENINGS, TRAINED, run_stage, stage_log, stop_at_once
from stages.unchanged import inputs_of, require_unchanged

STAGES = {
    "scans": "generate or find the scans, and give each its split",
    "extract": "cut overlapping windows into HDF5 shards per split",
    "tune": "search the loss weights and the latent size (Ray Tune)",
    "train": "train data-parallel on the best settings (Ray Train)",
    "evaluate": "write the AUC of each abnormal class and the figures, log to MLflow",
    "screen": "say which new bags are suspicious, and where to look in them",
}
OTHERS = {
    "promote": "make the newest model in MLflow the champion, unless its AUC is lower or missing",
    "params": "print the settings in effect, or the one line that is wrong",
    "track": "log the results on disk that MLflow lacks",
}


def main() -> None:
    """Run the stage that the command line names."""
    stop_at_once()
    parser = make_parser()
    arguments = parser.parse_args()
    name = arguments.stage
    if name == "screen" and not arguments.path and arguments != parser.parse_args([name]):
        parser.error("screen: options need FOLDER; without it, the settings are in params.yaml")
    module = import_module(f"stages.{name}")
    if name == "screen" and arguments.path:
        run_stage(partial(module.screen_folder, arguments))
    elif name in STAGES:
        run_stage(partial(run_workflow_stage, name, module.main))
    elif name == "params":
        run_stage(partial(module.main, arguments.changes))
    elif name == "promote":
        run_stage(partial(module.main, anyway=arguments.anyway))
    else:
        run_stage(module.main)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    started_as = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(
        prog="python -m stages" if started_as == "__main__.py" else started_as,
        description="Runs one stage of the workflow, in the project's folder. `dvc repro` runs all "
        "stages that need it.",
    )
    commands = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for name, says in {**STAGES, **OTHERS}.items():
        command = commands.add_parser(name, help=says, description=f"{says}.")
        if name == "params":
            command.add_argument(
                *("-S", "--set-param"),
                action="append",
                default=[],
                dest="changes",
                metavar="BLOCK.KEY=VALUE",
                help="a change, as for `dvc exp run`: print the settings with it",
            )
        if name == "screen":
            _add_screen_arguments(command)
        if name == "promote":
            command.add_argument(
                "--anyway", action="store_true", help="even if its AUC is lower or missing"
            )
    return parser


def _add_screen_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "path",
        type=Path,
        nargs="?",
        metavar="FOLDER",
        help="of scans, or one image; without it, this is the stage: screen.folder of params.yaml",
    )
    for name, default, says in (
        ("--model", str(TRAINED / MODEL), "a file, a run, or models:/skipscan@champion"),
        ("--false-alarm-rate", FALSE_ALARM_RATE, "share of normal bags that may raise an alarm"),
        ("--workers", 0, "number of Ray's workers, of one core each; 0 for this process alone"),
    ):
        command.add_argument(
            name, type=type(default), default=default, help=f"{says}; default: %(default)s"
        )
    command.add_argument(
        "--out",
        type=Path,
        help=f"folder of the results; default: {SCREENINGS}/NAME, with the name of FOLDER",
    )
    command.add_argument(
        "--annotated",
        action="store_true",
        help="count hits and misses; the block scans of params.yaml tells the annotations' format",
    )
    command.add_argument(
        "--watch", action="store_true", help="also screen files that arrive, until Ctrl-C"
    )


def run_workflow_stage(name: str, stage: Callable[[], None]) -> None:
    """Run a stage whose parameters and code have to be the same until its end.

    The output of libraries goes to the stage's log file, and their temporary files to a folder that
    the next start removes if this process is killed.
    """
    started = time.monotonic()
    terminal.send_output_to(stage_log(name))
    print(f"{name}: {STAGES[name]}", file=terminal.err())
    before = inputs_of(name)
    with scratch_folder() as folder:
        tempfile.tempdir = str(folder)
        stage()
    require_unchanged(name, before)
    seconds = timedelta(seconds=round(time.monotonic() - started))
    print(f"{name}: done in {seconds}", file=terminal.err())


if __name__ == "__main__":
    main()
