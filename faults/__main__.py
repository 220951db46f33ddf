"""Injects faults into runs of a small project, and prints a line for each fault.

    python -m faults [--rows worker,driver] [--times 2] [--kills 20] [--seed 0]

The project has its own folder. It runs the stages of `dvc.yaml` on generated scans in real
processes, and the faults come at moments drawn from the seed. The results, the sweep's best
settings and the model, must equal an undisturbed run's bit for bit. Faults with full disks mount
disks in memory, so the command must run as root.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from faults import kills, mlflow_server, storage
from faults.outcome import Outcome
from faults.project import Project

Row = Callable[[Project, int, np.random.Generator], Iterator[Outcome]]
ROWS: dict[str, Row] = {
    "worker": kills.worker,
    "node": kills.node,
    "driver": kills.driver,
    "mlflow-gone": mlflow_server.gone,
    "mlflow-slow": mlflow_server.slow,
    "mlflow-full": mlflow_server.full,
    "storage": storage.full,
    "storage-gone": storage.full_for_good,
    "locks": storage.locks,
    "sweeps": storage.sweeps,
    "checkpoint": storage.checkpoint,
    "signals": kills.signals,
}


def main() -> int:
    """Print the table; 1 where something did not hold."""
    parser = argparse.ArgumentParser(description="faults, and what must hold")
    parser.add_argument("--rows", default=",".join(ROWS), help=", ".join(ROWS))
    parser.add_argument("--times", type=int, default=2, help="how often each fault is tried")
    parser.add_argument("--kills", type=int, default=20, help="how often the driver is killed")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        project = Project.make(Path(folder) / "skipscan")
        try:
            wrong = sum(try_row(project, name, given) for name in given.rows.split(","))
        finally:
            project.kill_all()
    return int(wrong > 0)


def try_row(project: Project, name: str, given: argparse.Namespace) -> int:
    """Print a row's lines; how many say that something did not hold."""
    started = time.monotonic()
    times = given.kills if name == "driver" else given.times
    wrong = 0
    try:
        for outcome in ROWS[name](project, times, np.random.default_rng(given.seed)):
            print(outcome.line, flush=True)
            wrong += bool(outcome.wrong)
    except RuntimeError as error:  # of what stands around the fault; the other rows are tried
        print(f"{name}: {error}", flush=True)
        wrong += 1
    print(f"  {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
