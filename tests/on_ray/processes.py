"""Starting a job in a process of its own, and killing it as a crash would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import psutil
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


def kill_when(process: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> set[str]:
    """Kill -9 the process and all that it started, as soon as `ready`.

    Returns the sockets that other machines could have reached meanwhile.
    """
    deadline = time.monotonic() + SECONDS
    asked, reachable = 0.0, set[str]()
    try:
        while not ready():
            if time.monotonic() - asked > 1:  # it takes a while
                asked = time.monotonic()
                reachable |= reachable_sockets(process.pid)
            assert process.poll() is None, "the job ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:  # a test that fails leaves nothing running beside the next one
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return reachable


def reachable_sockets(pid: int) -> set[str]:
    """The TCP sockets on which a process, or one that it started, listens beyond loopback."""
    found = set()
    processes = [psutil.Process(pid)]
    with suppress(psutil.NoSuchProcess):
        processes += processes[0].children(recursive=True)
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            for socket in process.net_connections("tcp"):
                address = ip_address(socket.laddr.ip)
                local = getattr(address, "ipv4_mapped", None) or address
                if socket.status == psutil.CONN_LISTEN and not local.is_loopback:
                    found.add(f"{process.name()} on {socket.laddr.ip}:{socket.laddr.port}")
    return found


def kept_state(storage: str, workers: int) -> State:
    """The newest state that a killed training has left in its storage."""
    key = TRAIN.key("data", workers)
    filesystem, folder = FileSystem.from_uri(f"{storage}/train-{key[:16]}")
    state = newest_state(filesystem, folder, key)
    assert state is not None
    return state
