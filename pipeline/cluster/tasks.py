"""Runs a function on Ray for each of many jobs, a limited number at a time."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import chdir
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import cv2
import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.preflight import is_on_every_node, is_shared
from pipeline.common.errors import InputError

T = TypeVar("T")


def run_tasks(
    work: Callable[..., T],
    jobs: Iterable[Sequence[Any]],
    max_pending: int,
    output_folder: Path,
    input_file: Path,
) -> Iterator[T]:
    """Yield the result of `work` for each job, as it is ready, on the Ray session that is open.

    Each call has one core. If some node does not see this process's working folder,
    `output_folder` or `input_file`, all calls run on this node.

    Args:
        work: a function that can be pickled; each worker unpickles it once.
        jobs: the arguments of each call. A call starts when one of those before has ended, so
            results that are not yet taken hold back the jobs after them.
        max_pending: most calls that run or wait in Ray at a time.
        output_folder: where the calls write.
        input_file: one of the files that the calls read; a node that has it counts as having all.

    Raises:
        InputError, OSError: a call raised it.
    """
    task, root = _run, Path.cwd()
    if not (is_shared(output_folder) and is_on_every_node(input_file) and is_on_every_node(root)):
        here = ray.get_runtime_context().get_node_id()
        task = task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False))
    sent = [ray.put(pickle.dumps((work, root)))]  # in a list, as Ray would fetch it for each call
    waiting = iter(jobs)
    running = [task.remote(sent, job) for job in islice(waiting, max_pending)]
    while running:
        ready, running = ray.wait(running)
        running += [task.remote(sent, job) for job in islice(waiting, len(ready))]
        try:
            yield from ray.get(ready)
        except RayTaskError as error:
            if isinstance(error.cause, InputError | OSError):
                raise error.cause from None
            raise


@ray.remote(num_cpus=1)
def _run(sent: list[Any], job: Sequence[Any]) -> Any:
    work, root = _unpickled(sent[0])
    with chdir(root):  # that paths are relative to
        return work(*job)


@lru_cache(maxsize=1)
def _unpickled(sent: Any) -> Any:
    """Unpickle once in each worker: networks are large, and a source caches the labels it reads."""
    cv2.setNumThreads(1)  # the other cores have workers of their own
    return pickle.loads(ray.get(sent))  # noqa: S301  bytes from our own driver
