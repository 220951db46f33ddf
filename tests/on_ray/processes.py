"""Starting a job in a process of its own, and killing it as a crash would."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.imports import ROOT
from tests.listening import listening

SECONDS = 600  # much more than needed: other work may slow the machine


def start(job: str, patches: Path, folder: Path, *storage: str) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.on_ray.jobs", job, str(patches), str(folder), *storage],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def kill_when(process: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> set[str]:
    """Kill -9 the process and all that it started, as soon as `ready`.

    Returns the addresses that other machines could have reached meanwhile.
    """
    deadline = time.monotonic() + SECONDS
    asked, reachable = 0.0, set[str]()
    try:
        while not ready():
            if time.monotonic() - asked > 1:  # it takes a while
                asked = time.monotonic()
                reachable |= listening(process.pid).reachable
            assert process.poll() is None, "the job ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:  # a test that fails leaves nothing running beside the next one
        kill_tree(process)
    return reachable


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """Kill -9 a process and all that it started, and wait: Ray's would write on for a second."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        tree = [root, *root.children(recursive=True)]
        for found in tree:
            with suppress(psutil.NoSuchProcess):
                found.kill()
        psutil.wait_procs(tree, timeout=SECONDS)
    process.wait()
