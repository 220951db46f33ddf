"""One trial of a sweep, which Ray Tune runs in a process of its own.

A trial with one worker trains in that process; a trial with several workers trains under Ray Train
with the same loop. The process imports this module, so the module imports no MLflow or Optuna.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune import Checkpoint
from ray.tune.integration.ray_train import TuneReportCallback

from pipeline.cluster.session import set_torch_threads
from pipeline.cluster.storage import Storage
from pipeline.common.files import scratch_folder
from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.models.tensor_files import save_checkpoint
from pipeline.patches.store import PatchStore
from pipeline.patches.upload import SharedPatches, open_store
from pipeline.settings.blocks import TuneSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.search_space import settings_of_trial
from pipeline.training.criterion import Validation, load_validation
from pipeline.training.loop import Metrics, State, TrainSettings, Worker, train
from pipeline.training.on_ray import TrainJob, fit
from pipeline.training.ray_checkpoints import (
    epochs_done,
    newest_state,
    retry_writes,
    write_progress,
)

TRAINING = "train"  # name of a trial's run of Ray Train, and of its folder in the trial's folder
OBJECTIVE = "objective"  # metric of an epoch; a trial is ranked by its best epoch


@dataclass(frozen=True)
class SweepJob:
    """The settings that all trials of a sweep share.

    Attributes:
        model: the model settings; a trial replaces the searched ones.
        tune: the search space, the epochs of a trial, the seed.
        patches: absolute folder of the patches.
        objective: the metric to maximise, `LABELLED_AUC` or `IMPLANT_AUC` of `training.criterion`.
        key: digest of everything that decides the sweep's result (`sweep_key`).
        shared: the uploaded patches, for nodes that cannot read the folder `patches`.
    """

    model: ModelSettings
    tune: TuneSettings
    patches: str
    objective: str
    key: str
    shared: SharedPatches | None = None


def run_trial(config: dict[str, Any], job: SweepJob) -> None:
    """Run one trial: train in this process, and report to Tune after each epoch."""
    training = _training(config, job)
    set_torch_threads(training.concurrent_jobs)
    patches, validation = _open(Path(job.patches), job.shared, job.tune.seed)
    checkpoint, storage = tune.get_checkpoint(), tune.get_context().get_storage()
    train(
        training.settings,
        patches,
        validation,
        Worker(
            device=torch.device("cuda" if job.tune.gpus else "cpu"),
            tell_progress=partial(
                write_progress, storage.storage_filesystem, storage.trial_fs_path
            ),
        ),
        partial(report_epoch, job=job),
        resume=_resumed(checkpoint, job.key) if checkpoint else None,
    )


def run_parallel_trial(config: dict[str, Any], job: SweepJob, sweep: Storage) -> None:
    """Run one trial under Ray Train, with its checkpoints in the trial's folder in `sweep`.

    After a kill, Tune's snapshot may lack epochs of which there are checkpoints. So the epochs up
    to the newest checkpoint, from which the training resumes, are reported to Tune again.
    """
    settings, folder = job.tune, sweep.child(tune.get_context().get_trial_id())
    state = newest_state(*folder.child(TRAINING).open(), job.key)
    for metrics in state["history"] if state else []:
        tune.report({**metrics, OBJECTIVE: metrics[job.objective]})
    training, reports = _training(config, job), [ReportToTune(job.objective)]
    fit(training, settings.workers, settings, folder, TRAINING, reports)


def trial_epochs_done(sweep: Storage, trial: str, settings: TuneSettings) -> float:
    """Return how many epochs of a trial are done, a fraction.

    Raises:
        OSError: the storage cannot be read.
    """
    folder = sweep.child(trial)
    return epochs_done(*(folder if settings.workers == 1 else folder.child(TRAINING)).open())


class ReportToTune(TuneReportCallback):
    """Reports to Tune the metrics that Ray Train's first worker has reported."""

    def __init__(self, objective_name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.objective_name = objective_name

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None
    ) -> None:
        """Report an epoch."""
        reported = {**metrics[0], OBJECTIVE: metrics[0][self.objective_name]}
        super().after_report(run_context, [reported], checkpoint)


def _training(config: dict[str, Any], job: SweepJob) -> TrainJob:
    """Return the training job of a trial with the searched values `config`."""
    model, losses = settings_of_trial(config, job.model)
    return TrainJob(
        settings=TrainSettings(model, losses, job.tune.epochs, job.tune.seed),
        patches=job.patches,
        key=job.key,
        labelled=True,
        concurrent_jobs=job.tune.concurrent,
        shared=job.shared,
    )


@lru_cache(maxsize=1)
def _open(folder: Path, shared: SharedPatches | None, seed: int) -> tuple[PatchStore, Validation]:
    """Open the data that all trials read; a process runs many trials and opens it once."""
    parts = (TRAIN, VALIDATION, LABELLED_VALIDATION)
    patches, normals, labelled = (open_store(folder, split, shared) for split in parts)
    return patches, load_validation(normals, seed, labelled)


def _resumed(checkpoint: Checkpoint, key: str) -> State | None:
    """Return the state in a trial's checkpoint; if it is incomplete, in the previous checkpoint."""
    folder, _, name = checkpoint.path.rpartition("/")
    return newest_state(checkpoint.filesystem, folder, key, last=name)


def report_epoch(metrics: Metrics, state: State, job: SweepJob) -> None:
    """Report an epoch's metrics to Tune, with a checkpoint to resume from."""
    with scratch_folder() as folder:
        save_checkpoint(folder, state, job.key)
        reported = {**metrics, OBJECTIVE: metrics[job.objective]}
        checkpoint = Checkpoint.from_directory(folder)
        storage = tune.get_context().get_storage().trial_fs_path
        retry_writes(lambda: tune.report(reported, checkpoint=checkpoint), storage)
