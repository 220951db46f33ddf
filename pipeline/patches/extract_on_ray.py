"""Extraction on Ray: a task per shard, over every core of the machine or the cluster.

It imports neither torch nor Ray's libraries: both would cost every worker seconds and memory.
"""

import pickle
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.preflight import is_shared
from pipeline.common.errors import InputError
from pipeline.patches.cutting import Recipe, ShardResult, cut_shard
from pipeline.scans.catalogue import CatalogueRow

WAITING_TASKS = 8  # for each core, so that no core is idle while another has a long task


def cut_on_ray(
    recipe: Recipe, shards: Sequence[tuple[str, Sequence[CatalogueRow]]]
) -> Iterator[ShardResult]:
    """Cut shards, given as (split, rows), on the Ray session that is open.

    The largest shards start first, so that none keeps one core busy at the end. Results are yielded
    as they are ready.

    If some node does not see the folder of the shards, this node alone cuts all of them.

    Raises:
        InputError: as `cut_shard` does.
    """
    sent = ray.put(pickle.dumps(recipe))
    cut: Any = _cut
    if not is_shared(Path(recipe.folder)):
        here = ray.get_runtime_context().get_node_id()
        cut = _cut.options(scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False))
    waiting = iter(sorted(shards, key=lambda shard: len(shard[1]), reverse=True))
    running = [cut.remote(sent, *shard) for shard in islice(waiting, WAITING_TASKS * _cores())]
    while running:
        ready, running = ray.wait(running)
        running += [cut.remote(sent, *shard) for shard in islice(waiting, len(ready))]
        for task in ready:
            yield _result(task)


def _cores() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))


@ray.remote(num_cpus=1)
def _cut(recipe: bytes, split: str, rows: Sequence[CatalogueRow]) -> ShardResult:
    cv2.setNumThreads(1)  # the other cores have tasks of their own
    return cut_shard(_open(recipe), split, rows)


@lru_cache(maxsize=1)
def _open(recipe: bytes) -> Recipe:
    """Unpickle the recipe once in each worker: a source caches the labels that it has read."""
    opened: Recipe = pickle.loads(recipe)  # noqa: S301  bytes from our own driver
    return opened


def _result(task: Any) -> ShardResult:
    try:
        result: ShardResult = ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise
    return result
