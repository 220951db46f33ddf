"""Screening on Ray: workers of one core each, on this machine or over a cluster."""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import chdir
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import ray
import torch

from pipeline.cluster.tasks import run_tasks
from pipeline.models.trained_model import TrainedModel
from pipeline.scans.scan import ScanSource
from pipeline.screening.file_screener import FileScreener
from pipeline.screening.new_scans import NewScan, ScanJob
from pipeline.screening.records import ScreenedFile


def screen_on_ray(
    model: TrainedModel,
    source: ScanSource | None,
    out: Path,
    jobs: Sequence[ScanJob],
    workers: int,
) -> Iterator[ScreenedFile]:
    """Screen scans on the Ray session that is open; results are yielded as they are ready.

    If some node does not see the folder of the results and the scans, all workers are on this node.

    Args:
        model: the trained model.
        source: reads the scans with their annotations; None if there are none.
        out: the folder of the results.
        jobs: the scans.
        workers: number of scans that are screened at once, each on one core.

    Raises:
        OSError: the results cannot be written.
    """
    sent = [ray.put(pickle.dumps((model, source, out, Path.cwd())))]
    scan = jobs[0][0].path.resolve()
    yield from run_tasks(_screen, [(sent, *job) for job in jobs], workers, out, scan)


@ray.remote(num_cpus=1)
def _screen(sent: list[Any], scan: NewScan, sha256: str) -> ScreenedFile:
    screener, root = _open(*sent)
    with chdir(root):  # that the paths are relative to
        return screener.screen(scan, sha256)


@lru_cache(maxsize=1)
def _open(sent: Any) -> tuple[FileScreener, Path]:
    """Build the networks once in each worker."""
    cv2.setNumThreads(1)  # the other cores have workers of their own
    torch.set_num_threads(1)
    model, source, out, root = pickle.loads(ray.get(sent))  # noqa: S301  from our own driver
    return FileScreener.of(model, source, out), root
