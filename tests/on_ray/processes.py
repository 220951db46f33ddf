"""Starting a job in a process of its own, and killing it as a crash would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pyarrow.fs import FileSystem

from pipeline.training.loop import State
from pipeline.training.ray_checkpoints import newest_state
from tests.imports import ROOT
from tests.on_ray.jobs import TRAIN

SECONDS = 240


def start(job: str, patches: Path, folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.on_ray.jobs", job, str(patches), str(folder)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


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


def kept_state(storage: str, workers: int) -> State:
    """The newest state that a killed training has left in its storage."""
    key = TRAIN.key("data", workers)
    filesystem, folder = FileSystem.from_uri(f"{storage}/train-{key[:16]}")
    state = newest_state(filesystem, folder, key)
    assert state is not None
    return state
