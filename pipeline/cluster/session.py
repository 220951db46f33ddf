"""Connections to Ray: to the cluster at `RAY_ADDRESS`, or to a local Ray of this process."""

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import ray
import torch
from ray._private import ray_constants

import pipeline
from pipeline.cluster.preflight import installed_versions, require_same_versions, runs_here
from pipeline.cluster.private_folder import private_folder, private_token, require_room
from pipeline.common import terminal
from pipeline.common.errors import InputError

T = TypeVar("T")
OBJECT_STORE_BYTES = 128 * 2**20  # only small messages of ours go through it
CONNECT_SECONDS = 10
TIMED_OUT = "timed out during startup"  # in Ray's message; the exception is a bare `Exception`


@contextmanager
def ray_session() -> Iterator[None]:
    """Connect to Ray during a `with` block; the workers import this checkout's `pipeline`.

    Raises:
        InputError: no cluster answers at `RAY_ADDRESS`, its nodes have other versions, or a local
            Ray does not start.
    """
    with private_folder() if runs_here() else nullcontext() as folder:
        try:
            with _keeping_sigterm():
                if folder:
                    start(folder)
                else:
                    connect(os.environ["RAY_ADDRESS"])
            if not folder:
                require_same_versions(installed_versions())
            yield
        except KeyboardInterrupt:
            # The process ends now, and its work on Ray with it. During an orderly shutdown Ray Tune
            # would see its trials die, and record them as failed.
            raise
        except BaseException:
            shut_down()
            raise
        else:
            shut_down()


def connect(address: str) -> None:
    """Connect to the cluster at `address`, the value of `RAY_ADDRESS`; Ray reads the variable.

    Raises:
        InputError: `address` is not valid, or no cluster answers there within a minute.
    """
    # One try to connect. By default Ray tries 20 times, for 41 seconds each.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
    try:
        host, colon, port = address.rpartition(":")
        if colon and "/" not in address:  # Ray would try to connect for 41 seconds
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        ray.init(runtime_env=_runtime_env())
    except (OSError, ValueError) as error:
        raise InputError(
            f"RAY_ADDRESS: got {address!r}, expected auto or the host:port of a running Ray "
            "cluster: start one with `ray start --head`, or unset RAY_ADDRESS to use this machine "
            "alone"
        ) from error


def start(folder: Path) -> None:
    """Start a Ray of this process's own, with its files in `folder`, which listens on loopback.

    If Ray's node is not up in Ray's limit of 30 seconds, on a busy machine, this tries once more.

    Raises:
        InputError: the second start timed out too, or the disk of `folder` is full.
    """
    runtime_env = _runtime_env()
    # The workers' own temporary files stay where the user wants them.
    runtime_env["env_vars"]["TMPDIR"] = tempfile.gettempdir()
    # A local machine is never preempted, so do not start Ray's preemption watcher.
    runtime_env["env_vars"]["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"
    # Ray gives a node the address of loopback only if clusters are disabled, as on macOS. Ray reads
    # the variable at import, which has already happened, so set the constant.
    ray_constants.ENABLE_RAY_CLUSTER = False
    variables = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_TOKEN_PATH": str(private_token(folder.parent)),
        "TMPDIR": str(folder),  # Ray's dashboard makes sockets among its temporary files
    }
    for last in (False, True):
        try:
            # Ray Train asks the dashboard's State API, on loopback, about its actors. Without
            # "local" Ray would join another user's cluster, or the cluster of a killed run.
            with _environment(variables):
                ray.init(
                    address="local",
                    runtime_env=runtime_env,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=True,
                    _temp_dir=str(folder),
                )
        except Exception as error:
            require_room(folder)
            if TIMED_OUT not in str(error):
                raise
            if last:
                raise InputError(
                    "Ray's node timed out during startup twice, expected it to be up in 30 "
                    "seconds: run it again when this machine is less busy"
                ) from error
            ray.shutdown()
            print("Ray's node timed out during startup: starting Ray again", file=terminal.err())
        else:
            return


def shut_down() -> None:
    """Shut Ray down; the process keeps its handler of SIGTERM.

    Ray's C++ part sets SIGTERM to end the process, and then goes on for seconds. So Ray shuts down
    in a thread, while this one sets the handler again and again.
    """
    handler = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(ray.shutdown)
        while not ended.done():
            wait([ended], timeout=0.05)
            signal.signal(signal.SIGTERM, handler)
    ended.result()


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
            # Ray's default is 2 s; with a shorter interval, a training returns up to 1.5 s earlier.
            "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
            # On a busy machine, wait long enough for a trial to end before its process is reused.
            "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
        },
    }


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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


def run_in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread and return its result: in the main thread Ray handles Ctrl-C."""
    return ThreadPoolExecutor(1).submit(work).result()


def set_torch_threads(processes: int) -> None:
    """Set torch's threads to the worker's reserved CPUs, or to node cores / `processes` if larger.

    Ray gives torch one thread for each CPU that the worker reserved. If fewer `processes` than
    cores run on the node, the other cores would be idle.
    """
    context: Any = ray.get_runtime_context()
    asked = int(context.get_assigned_resources().get("CPU", 1))
    torch.set_num_threads(max(1, asked, len(os.sched_getaffinity(0)) // processes))
