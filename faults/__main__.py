"""Injects faults into runs of a small project, and prints a table of what held.

    python -m faults [--only WORD] [--seed 0]   tries the faults that were not tried yet
    python -m faults --record                   writes the outcomes so far into faults/

The project has its own folder in `work/faults`. It runs the stages of `dvc.yaml` on generated scans
in real processes, and the faults come at moments drawn from the seed. The results must equal an
undisturbed run's bit for bit. Faults with full disks mount disks in memory, so the command must run
as root. After a kill it goes on with the next fault; other code of the product starts anew.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from faults.campaign import FAULTS, Fault, shared_ray
from faults.outcome import Outcome, Outcomes
from faults.project import ROOT, Project
from pipeline.common.files import digest, file_digest

RECORD = ROOT / "faults" / "outcomes.jsonl"
README = ROOT / "faults" / "README.md"
BEGIN, END = "<!-- the table of python -m faults --record -->\n", "<!-- its end -->\n"


def main() -> int:
    """Try the faults and print the table; return 1 if something did not hold."""
    parser = argparse.ArgumentParser(description="faults, and what must hold")
    parser.add_argument("--only", default="", help="faults with this in their name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write outcomes and table to faults/")
    arguments = parser.parse_args()
    folder = ROOT / "work" / "faults" / product_digest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = Outcomes(folder / "outcomes.jsonl")
    if arguments.record:
        record(outcomes)
        return 0
    chosen = [fault for fault in FAULTS if arguments.only in fault.name]
    try:
        with FileLock(folder / ".lock", timeout=0):
            try_all(folder, chosen, outcomes, arguments.seed)
    except Timeout:
        sys.exit(f"{folder}: another campaign is at work here")
    print(outcomes.table(chosen), end="")
    return int(any(outcome.wrong for outcome in outcomes.found))


def try_all(folder: Path, chosen: list[Fault], outcomes: Outcomes, seed: int) -> None:
    """Try each fault as often as is left."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    project = Project.make(folder / "skipscan")
    try:
        for fault in chosen:
            if outcomes.left(fault):
                with shared_ray(project) if fault.shared else nullcontext():
                    while outcomes.left(fault):
                        try_one(project, fault, outcomes, seed)
                        show(fault, chosen, outcomes)
    finally:
        project.close()


def try_one(project: Project, fault: Fault, outcomes: Outcomes, seed: int) -> None:
    """Try a fault once, and add its outcome."""
    number = len(outcomes.of(fault))
    outcome = Outcome(fault.name, number)
    chance = np.random.default_rng([seed, zlib.crc32(fault.name.encode()), number])
    started = time.monotonic()
    try:
        fault.attempt(project, outcome, chance)
    except RuntimeError as error:
        outcome.wrong.append(str(error))
    outcome.seconds = round(time.monotonic() - started, 1)
    outcome.load = round(os.getloadavg()[0], 1)
    if outcome.wrong:
        said = [running.said()[-2000:] for running in project.started if running.log.exists()]
        print(fault.name, number, outcome.wrong, *said, sep="\n", file=sys.stderr)
    project.end_stages()
    project.set_params()
    outcomes.add(outcome)


def show(fault: Fault, chosen: list[Fault], outcomes: Outcomes) -> None:
    """Print progress, with the minutes that are left."""
    last, hits = outcomes.found[-1], fault.times - outcomes.left(fault)
    said = "LOST" if last.wrong else "held" if last.hit else "hit nothing"
    print(
        f"{fault.name}: {hits} of {fault.times} {said}, {last.seconds:.0f} s; "
        f"about {outcomes.seconds_left(chosen) / 60:.0f} minutes left",
        file=sys.stderr,
        flush=True,
    )


def product_digest() -> str:
    """Return the SHA-256 of the code and the parameters that stages use."""
    code = [path for name in ("pipeline", "stages") for path in (ROOT / name).rglob("*.py")]
    files = [*sorted(code), *(ROOT / f"{name}.yaml" for name in ("params", "presets", "dvc"))]
    return digest({str(path.relative_to(ROOT)): file_digest(path) for path in files})


def record(outcomes: Outcomes) -> None:
    """Copy the outcomes to `RECORD`, and write their table and the commit into the README."""
    RECORD.write_text(outcomes.file.read_text(encoding="utf-8"), encoding="utf-8")
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = with_table(README.read_text(encoding="utf-8"), outcomes, commit.strip())
    README.write_text(text, encoding="utf-8")


def with_table(text: str, outcomes: Outcomes, commit: str) -> str:
    """Return the README with the table of these outcomes, and the commit that was tried."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}{outcomes.table(FAULTS)}\nTried on commit {commit}.\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
