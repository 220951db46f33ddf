"""Screening on Ray: workers of one core each, on this machine or over a cluster."""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import cv2
import ray
import torch
from ray.util import ActorPool
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.preflight import is_shared
from pipeline.models.detector import TrainedModel
from pipeline.scans.scan import ScanSource
from pipeline.screening.new_scans import Job, NewScan
from pipeline.screening.records import ScreenedFile
from pipeline.screening.scan_screener import ScanScreener

RESTARTS = 3  # of a worker that dies; its scan is screened again


def screen_on_ray(
    model: TrainedModel,
    source: ScanSource | None,
    out: Path,
    jobs: Sequence[Job],
    workers: int,
) -> Iterator[ScreenedFile]:
    """Screen scans on the Ray session that is open; results are yielded as they are ready.

    If some node does not see the folder of the results, all workers are on this node.

    Args:
        model: the trained model.
        source: reads the scans with their annotations; None if there are none.
        out: the folder of the results.
        jobs: the scans.
        workers: number of workers, each of one core.
    """
    options: dict[str, Any] = {"max_restarts": RESTARTS, "max_task_retries": RESTARTS}
    if not is_shared(out):
        here = ray.get_runtime_context().get_node_id()
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(here, soft=False)
    sent = ray.put(pickle.dumps((model, source, out, Path.cwd())))
    actors = [_Worker.options(**options).remote(sent) for _ in range(workers)]  # type: ignore[attr-defined]
    pool: Any = ActorPool(actors)  # whose types fit no call
    yield from pool.map_unordered(lambda actor, job: actor.screen.remote(*job), jobs)


@ray.remote(num_cpus=1)
class _Worker:
    def __init__(self, sent: bytes) -> None:
        cv2.setNumThreads(1)  # the other cores have workers of their own
        torch.set_num_threads(1)
        model, source, out, self.root = pickle.loads(sent)  # noqa: S301  from our own driver
        self.screener = ScanScreener.of(model, source, out)

    def screen(self, scan: NewScan, sha256: str) -> ScreenedFile:
        with chdir(self.root):  # that the paths are relative to
            return self.screener.screen(scan, sha256)
