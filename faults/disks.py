"""Disks of their own for faults: full ones, and ones that cannot be written."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np

from faults.kills import check_end, check_refused
from faults.outcome import Outcome
from faults.project import RESULTS, Project

MEGABYTES = 64


def full_folder(project: Project, outcome: Outcome, chance: np.random.Generator, name: str) -> None:
    """Fill the disk of a stage's results, at its begin or during its work."""
    expected = project.undisturbed(name)
    project.clean(name)
    with small_disk(project.folder / RESULTS[name]) as disk:
        running = project.stage(name)
        if outcome.number % 2:
            running.wait_for(lambda: project.begun(name))
            time.sleep(chance.uniform(0, expected.work / 2))
        with fill(disk):
            outcome.hit = running.wait() != 0  # else it had written all
        if outcome.hit:
            check_refused(outcome, running, "No space left on device")
            running = project.stage(name)
        check_end(outcome, project, running, expected)


def read_only(project: Project, outcome: Outcome, _chance: np.random.Generator, name: str) -> None:
    """Make the disk of a stage's results read-only."""
    expected = project.undisturbed(name)
    project.clean(name)
    with small_disk(project.folder / RESULTS[name]) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        running = project.stage(name)
        outcome.hit = True
        check_refused(outcome, running, "Read-only file system")
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        check_end(outcome, project, project.stage(name), expected)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk in memory at `folder`; only root may do so."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={MEGABYTES}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> IO[bytes]:
    """Fill the disk with a file without a name, and return this file; closing it frees the disk."""
    file = tempfile.TemporaryFile(dir=disk, buffering=0)  # noqa: SIM115  its caller closes it
    with suppress(OSError):
        while file.write(bytes(2**16)):
            pass
    return file
