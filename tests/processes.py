"""Starting a job in a process of its own, and killing it as a crash would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.imports import ROOT

SECONDS = 240


def start(job: str, patches: Path, folder: Path, *storage: str) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.jobs", job, str(patches), str(folder), *storage],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    try:
        process.wait(SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, (folder / "log.txt").read_text()[-4000:]


def kill_when(process: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> None:
    """Kill -9 the process and all that it started, as soon as `ready`."""
    deadline = time.monotonic() + SECONDS
    try:
        while not ready():
            assert process.poll() is None, "the job ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:  # a test that fails leaves nothing running beside the next one
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
