"""Extraction on Ray: a task per shard, over every core of the machine or the cluster.

It imports neither torch nor Ray's libraries: both would cost every worker seconds and memory.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import ray

from pipeline.cluster.tasks import run_tasks
from pipeline.patches.cutting import Recipe, ShardResult, cut_shard
from pipeline.scans.catalogue import CatalogueRow

WAITING_TASKS = 8  # for each core, so that no core is idle while another has a long task


def cut_on_ray(
    recipe: Recipe, shards: Sequence[tuple[str, Sequence[CatalogueRow]]]
) -> Iterator[ShardResult]:
    """Cut shards, given as (split, rows), on the Ray session that is open.

    The largest shards start first, so that none keeps one core busy at the end. Results are yielded
    as they are ready.

    If some node does not see the working folder, the folder of the shards or the first scan, this
    node alone cuts all.

    Raises:
        InputError: as `cut_shard` does.
    """
    jobs = sorted(shards, key=lambda shard: len(shard[1]), reverse=True)
    scan = Path(recipe.root, shards[0][1][0].files[0])
    cut = partial(cut_shard, recipe)
    yield from run_tasks(cut, jobs, WAITING_TASKS * _cores(), Path(recipe.folder), scan)


def _cores() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))
