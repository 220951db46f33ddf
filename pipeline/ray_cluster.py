"""Connecting to Ray: the cluster that `RAY_ADDRESS` names, or a local one for this process."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import ray
import torch

import pipeline
from pipeline.files import project_root
from pipeline.ray_preflight import installed_versions, require_same_versions

T = TypeVar("T")
OBJECT_STORE_BYTES = 128 * 2**20  # nothing of ours goes through it but small messages


@contextmanager
def ray_session() -> Iterator[None]:
    """Ray for the time of a `with` block; the workers import this checkout's `pipeline`."""
    runtime_env = {
        "py_modules": [str(Path(pipeline.__file__).parent)],
        "env_vars": {
            # Ray Train would log what a worker prints, and so show it twice.
            "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
            # Workers import torch first, which takes longer than Ray's minute on a busy machine.
            "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
            # A trial's process is used for the next one once it has ended, on a busy machine too.
            "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
        },
    }
    on_cluster = bool(os.environ.get("RAY_ADDRESS"))
    try:
        with _keeping_sigterm():
            if on_cluster:
                ray.init(runtime_env=runtime_env)
            else:
                # Ray Train asks the dashboard's State API, on loopback, about its actors. "local",
                # or Ray would join another's cluster, or one that a killed run left behind.
                ray.init(
                    address="local",
                    runtime_env=runtime_env,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=True,
                )
        if on_cluster:
            require_same_versions(installed_versions())
        yield
    except KeyboardInterrupt:
        # The process ends now, and what it has on Ray with it. Shut down in order, Ray Tune would
        # see its trials die meanwhile, and write down that they failed.
        raise
    except BaseException:
        ray.shutdown()
        raise
    else:
        ray.shutdown()


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Give back the handler of SIGTERM, which Ray's start takes, to end the process on the spot."""
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
    """Do the work in a thread: in the main one, Ray's libraries take Ctrl-C for themselves."""
    return ThreadPoolExecutor(1).submit(work).result()


def share_cores(processes: int) -> None:
    """Let torch compute on the CPUs that were asked for, or on its share of the node's if larger.

    Ray leaves it one thread for each CPU that was asked for, and so idles cores where fewer
    processes than cores are at work.
    """
    context: Any = ray.get_runtime_context()
    asked = int(context.get_assigned_resources().get("CPU", 1))
    torch.set_num_threads(max(1, asked, len(os.sched_getaffinity(0)) // processes))


def storage_path(storage: str) -> str:
    """The storage parameter as Ray wants it: an address as it is, a folder as an absolute path."""
    return storage if "://" in storage else str(project_root() / storage)
