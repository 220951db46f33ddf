"""One trial of a sweep, which Ray Tune runs in a process of its own.

A trial of one worker is trained in that process, one of several under Ray Train: by the same loop.
The process imports this module alone, so neither MLflow nor Optuna is imported here.
"""

import tempfile
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune import Checkpoint
from ray.tune.integration.ray_train import TuneReportCallback

from pipeline.cluster.session import share_cores
from pipeline.cluster.storage import Storage
from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.models.tensor_files import save_checkpoint
from pipeline.patches.store import PatchStore
from pipeline.patches.upload import SharedPatches, open_store
from pipeline.settings.model import ModelSettings
from pipeline.settings.params import TuneSettings
from pipeline.settings.search_space import apply
from pipeline.training.criterion import Validation, load_validation
from pipeline.training.loop import Metrics, State, TrainSettings, Worker, train
from pipeline.training.on_ray import TrainJob, fit
from pipeline.training.ray_checkpoints import newest_state, retry_writes

OBJECTIVE = "objective"  # of an epoch; the best epoch of the best trial wins


@dataclass(frozen=True)
class SweepJob:
    """What every trial is told.

    Attributes:
        model: what all trials share.
        tune: the search space, the epochs of a trial, the seed.
        patches: absolute folder of the patches.
        objective: the metric that is maximised, `LABELLED` or `CRITERION` of selection.
        key: of all that decides the sweep's result.
        shared: where the patches are for nodes that cannot read their folder.
    """

    model: ModelSettings
    tune: TuneSettings
    patches: str
    objective: str
    key: str
    shared: SharedPatches | None = None


def run_trial(config: dict[str, Any], job: SweepJob) -> None:
    """One trial: the training loop in this process, reporting to Tune after each epoch."""
    training = _training(config, job)
    share_cores(training.beside)
    patches, validation = _open(Path(job.patches), job.shared, job.tune.seed)
    checkpoint = tune.get_checkpoint()
    train(
        training.settings,
        patches,
        validation,
        Worker(device=torch.device("cuda" if job.tune.gpus else "cpu")),
        partial(report_epoch, job=job),
        resume=_resumed(checkpoint, job.key) if checkpoint else None,
    )


def run_parallel_trial(config: dict[str, Any], job: SweepJob, sweep: Storage) -> None:
    """One trial under Ray Train, whose checkpoints are in the trial's folder of `sweep`."""
    asked, folder = job.tune, sweep.child(tune.get_context().get_trial_id())
    fit(_training(config, job), asked.workers, asked, folder, "train", [TellTune(job.objective)])


class TellTune(TuneReportCallback):
    """Reports to Tune what Ray Train's first worker reports."""

    def __init__(self, objective_name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.objective_name = objective_name

    def after_report(
        self,
        run_context: Any,
        metrics: list[dict[str, Any]],
        checkpoint: Checkpoint | None,
    ) -> None:
        """Report an epoch."""
        reported = {**metrics[0], OBJECTIVE: metrics[0][self.objective_name]}
        super().after_report(run_context, [reported], checkpoint)


def _training(config: dict[str, Any], job: SweepJob) -> TrainJob:
    """What a trial trains."""
    model, losses = apply(config, job.model)
    return TrainJob(
        settings=TrainSettings(model, losses, job.tune.epochs, job.tune.seed),
        patches=job.patches,
        key=job.key,
        labelled=True,
        beside=job.tune.concurrent,
        shared=job.shared,
    )


@lru_cache(maxsize=1)
def _open(folder: Path, shared: SharedPatches | None, seed: int) -> tuple[PatchStore, Validation]:
    """What every trial reads, opened once by a process, which goes from trial to trial."""
    parts = (TRAIN, VALIDATION, LABELLED_VALIDATION)
    patches, normals, labelled = (open_store(folder, split, shared) for split in parts)
    return patches, load_validation(normals, seed, labelled)


def _resumed(checkpoint: Checkpoint, key: str) -> State | None:
    """The state in a trial's checkpoint, or in the one before where that is not whole."""
    folder, _, name = checkpoint.path.rpartition("/")
    return newest_state(checkpoint.filesystem, folder, key, last=name)


def report_epoch(metrics: Metrics, state: State, job: SweepJob) -> None:
    """Tell Tune the metrics of an epoch, with the checkpoint to go on from."""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), state, job.key)
        reported = {**metrics, OBJECTIVE: metrics[job.objective]}
        checkpoint = Checkpoint.from_directory(folder)
        place = tune.get_context().get_storage().trial_fs_path
        retry_writes(lambda: tune.report(reported, checkpoint=checkpoint), place)
