"""Screening on Ray: workers of one core each, on this machine or over a cluster."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from pipeline.cluster.tasks import run_tasks
from pipeline.models.trained_model import TrainedModel
from pipeline.scans.scan import ScanSource
from pipeline.screening.file_screener import FileScreener
from pipeline.screening.new_scans import NewScan, ScanJob
from pipeline.screening.records import ScreenedFile


def screen_on_ray(
    model: TrainedModel, source: ScanSource | None, out: Path, jobs: Sequence[ScanJob], workers: int
) -> Iterator[ScreenedFile]:
    """Screen scans on the Ray session that is open; results are yielded as they are ready.

    If some node does not see the working folder, the folder of the results and the scans, all
    workers are on this node.

    Args:
        model: the trained model.
        source: reads the scans with their annotations; None if there are none.
        out: the folder of the results.
        jobs: the scans.
        workers: number of scans that are screened at once, each on one core.

    Raises:
        OSError: the results cannot be written.
    """
    screen = partial(_screen, FileScreener.of(model, source, out))
    scan = jobs[0][0].path.resolve()
    yield from run_tasks(screen, jobs, workers, out, scan)


def _screen(screener: FileScreener, scan: NewScan, sha256: str) -> ScreenedFile:
    torch.set_num_threads(1)  # the other cores have workers of their own
    return screener.screen(scan, sha256)
