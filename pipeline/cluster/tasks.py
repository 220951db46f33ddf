"""Runs a task of Ray for each of many jobs, a limited number at a time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.preflight import is_on_every_node, is_shared
from pipeline.common.errors import InputError


def run_tasks(
    task: Any,
    jobs: Iterable[Sequence[Any]],
    at_once: int,
    folder: Path,
    read: Path | None = None,
) -> Iterator[Any]:
    """Yield the result of a task for each job, as it is ready, on the Ray session that is open.

    Args:
        task: a remote function of Ray.
        jobs: the arguments of each call. A call starts when one of those before has ended, so
            results that are not yet taken hold back the jobs after them.
        at_once: number of calls that run or wait in Ray.
        folder: where the tasks write. If some node does not see it, all run on this node.
        read: a file that stands for the files that the tasks read; likewise.

    Raises:
        InputError, OSError: raised by a task; as one process would raise it.
    """
    if not is_shared(folder) or (read and not is_on_every_node(read)):
        here = ray.get_runtime_context().get_node_id()
        task = task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False))
    waiting = iter(jobs)
    running = [task.remote(*job) for job in islice(waiting, at_once)]
    while running:
        ready, running = ray.wait(running)
        running += [task.remote(*job) for job in islice(waiting, len(ready))]
        try:
            yield from ray.get(ready)
        except RayTaskError as error:
            if isinstance(error.cause, InputError | OSError):
                raise error.cause from None
            raise
