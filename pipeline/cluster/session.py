"""Connections to Ray: to the cluster at `RAY_ADDRESS`, or to a local Ray of this process."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import ray
import torch

import pipeline
from pipeline.cluster.preflight import installed_versions, require_same_versions
from pipeline.common.errors import InputError

T = TypeVar("T")
OBJECT_STORE_BYTES = 128 * 2**20  # only small messages of ours go through it
# The longest socket paths: Ray's own, and Python's in Ray's dashboard.
RAY_SOCKET = "ray/session_2000-01-01_00-00-00_000000_{pid}/sockets/dash_TaskEventsHead"
PYTHON_SOCKET = "pymp-00000000/listener-00000000"
MOST_SOCKET_BYTES = 107  # longest path of a socket on Linux
TIMED_OUT = "timed out during startup"  # in Ray's message; the exception is a bare `Exception`


@contextmanager
def ray_session() -> Iterator[None]:
    """Connect to Ray during a `with` block; the workers import this checkout's `pipeline`.

    Raises:
        InputError: no cluster answers at `RAY_ADDRESS`, its nodes have other versions, or a local
            Ray does not start.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    on_cluster = address not in {"", "local"}
    folder = None if on_cluster else short_folder()
    try:
        with _keeping_sigterm(), _temporary_files_in(folder):
            if on_cluster:
                connect(address)
            else:
                start(folder)
        if on_cluster:
            require_same_versions(installed_versions())
        yield
    except KeyboardInterrupt:
        # The process ends now, and its work on Ray with it. During an orderly shutdown Ray Tune
        # would see its trials die, and record them as failed.
        raise
    except BaseException:
        ray.shutdown()
        raise
    else:
        ray.shutdown()
        if folder:  # kept after an error, for Ray's logs
            shutil.rmtree(folder, ignore_errors=True)


def connect(address: str) -> None:
    """Connect to the cluster at `address`, the value of `RAY_ADDRESS`; Ray reads the variable.

    Raises:
        InputError: `address` is not valid, or no cluster answers there within a minute.
    """
    # One try to connect. By default Ray tries 20 times, for 41 seconds each.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
    try:
        ray.init(runtime_env=_runtime_env())
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"RAY_ADDRESS: got {address!r}, expected auto or the host:port of a running Ray "
            "cluster: start one with `ray start --head`, or unset RAY_ADDRESS to use this machine "
            "alone"
        ) from error


def start(folder: str | None = None) -> None:
    """Start a local Ray for this process, with its files in `folder`, or in Ray's usual folder.

    If Ray's node is not up in Ray's limit of 30 seconds, on a busy machine, this tries once more.

    Raises:
        InputError: the second start timed out too.
    """
    runtime_env = _runtime_env()
    if folder:  # the workers' own temporary files stay where the user wants them
        runtime_env["env_vars"]["TMPDIR"] = tempfile.gettempdir()
    for last in (False, True):
        try:
            # Ray Train asks the dashboard's State API, on loopback, about its actors. Without
            # "local" Ray would join another user's cluster, or the cluster of a killed run.
            ray.init(
                address="local",
                runtime_env=runtime_env,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=True,
                # A folder below it, since Ray makes `_temp_dir` accessible to every user.
                _temp_dir=f"{folder}/ray" if folder else None,
            )
        except Exception as error:
            if TIMED_OUT not in str(error):
                raise
            if last:
                raise InputError(
                    "Ray's node timed out during startup twice, expected it to be up in 30 "
                    "seconds: run it again when this machine is less busy"
                ) from error
            ray.shutdown()
            print("Ray's node timed out during startup: starting Ray again", file=sys.stderr)
        else:
            return


def short_folder() -> str | None:
    """Make a folder for Ray's files if the path of the usual folder is too long for sockets.

    Returns None if the usual folder (RAY_TMPDIR, TMPDIR or /tmp) is short enough. The new folder
    is in /tmp, and only this user can enter it.
    """
    default = "/tmp"  # noqa: S108  # Ray's default
    base = os.environ.get("RAY_TMPDIR", os.environ.get("TMPDIR", default))
    sockets = (
        f"{base}/{RAY_SOCKET.format(pid=os.getpid())}",
        f"{tempfile.gettempdir()}/{PYTHON_SOCKET}",
    )
    if max(len(os.fsencode(path)) for path in sockets) <= MOST_SOCKET_BYTES:
        return None
    folder = tempfile.mkdtemp(prefix="ray-", dir=default)
    print(
        f"TMPDIR or RAY_TMPDIR is too long for Ray's sockets: Ray's own files are in {folder}",
        file=sys.stderr,
    )
    return folder


def _runtime_env() -> dict[str, Any]:
    """Return the environment that Ray sets up for each worker."""

    def know_the_cluster() -> None:
        # Ray Train's PlacementGroupCleaner, which frees the CPUs of a stopped trial, looks for the
        # only cluster of this machine. If there are two it fails, and the CPUs stay reserved.
        os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address

    return {
        # Ray sends a nested function by value, so workers need not import this module.
        "worker_process_setup_hook": know_the_cluster,
        "py_modules": [str(Path(pipeline.__file__).parent)],
        "env_vars": {
            # Otherwise Ray Train also logs the output of workers, and it is shown twice.
            "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
            # Workers import torch first; on a busy machine this takes longer than Ray's minute.
            "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
            # On a busy machine, wait long enough for a trial to end before its process is reused.
            "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
        },
    }


@contextmanager
def _temporary_files_in(folder: str | None) -> Iterator[None]:
    """Set TMPDIR to `folder`, if given, for the processes that start during a `with` block.

    Ray's dashboard makes sockets in TMPDIR.
    """
    before = os.environ.get("TMPDIR")
    if folder is None:
        yield
        return
    os.environ["TMPDIR"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Restore the handler of SIGTERM after Ray's start, which sets one that ends the process."""
    handler = signal.getsignal(signal.SIGTERM)
    ended = False
    try:
        yield
    except SystemExit:
        ended = True
    signal.signal(signal.SIGTERM, handler)
    if ended:
        signal.raise_signal(signal.SIGTERM)


def apart_from_signals(work: Callable[[], T]) -> T:
    """Run `work` in a thread and return its result: in the main thread Ray handles Ctrl-C."""
    return ThreadPoolExecutor(1).submit(work).result()


def share_cores(processes: int) -> None:
    """Give torch a thread for each CPU of its worker, or its share of the node's if larger.

    Ray gives torch one thread for each CPU that the worker reserved. If fewer `processes` than
    cores run on the node, the other cores would be idle.
    """
    context: Any = ray.get_runtime_context()
    asked = int(context.get_assigned_resources().get("CPU", 1))
    torch.set_num_threads(max(1, asked, len(os.sched_getaffinity(0)) // processes))
