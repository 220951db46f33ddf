"""Data-parallel training: the loop of `pipeline.training.loop` under Ray Train.

Every worker process imports this module before it trains. So this module does not import MLflow,
which takes a second to import; `pipeline.training.log_curves` does.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import ray.train
import ray.train.torch
from pyarrow.fs import FileSystem
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    UserCallback,
)
from ray.train.torch import TorchConfig, TorchTrainer
from torch import nn

from pipeline.cluster.locks import exclusive_lock
from pipeline.cluster.preflight import require_capacity, require_local_capacity, runs_here
from pipeline.cluster.session import run_in_thread, set_torch_threads
from pipeline.cluster.storage import Storage
from pipeline.common import terminal
from pipeline.common.errors import InputError, last_line
from pipeline.common.files import scratch_folder
from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.models.precision import require_fast_bfloat16
from pipeline.models.tensor_files import save_checkpoint
from pipeline.patches.store import PatchStore
from pipeline.patches.upload import SharedPatches, open_store
from pipeline.settings.resources import WorkerRange, WorkerResources
from pipeline.training.criterion import Validation, load_validation
from pipeline.training.loop import (
    Metrics,
    State,
    TrainingDivergedError,
    TrainSettings,
    Worker,
    shuffled_reader,
    train,
)
from pipeline.training.ray_checkpoints import (
    EPOCH,
    drop_unusable_list,
    epochs_done,
    last_epoch,
    newest_state,
    retry_writes,
    write_progress,
)

SECONDS_BETWEEN_LOOKS = 2  # at the checkpoints, to show how many there are
WORKER_FAILURES = 3  # restarts from the last checkpoint before the run counts as failed


@dataclass(frozen=True)
class TrainJob:
    """The job that every worker receives.

    Attributes:
        settings: the settings of the training.
        patches: absolute folder of the patches.
        key: digest of settings, data and workers; checkpoints with another key are refused.
        labelled: whether validation also scores the labelled scans, which only a sweep may use.
        concurrent_jobs: number of jobs of this kind, with this one, that share the cores.
        shared: the uploaded patches, for nodes that cannot read the folder `patches`.
    """

    settings: TrainSettings
    patches: str
    key: str
    labelled: bool = False
    concurrent_jobs: int = 1
    shared: SharedPatches | None = None

    def open(self, split: str) -> PatchStore:
        """Open the patches of a split, on the node that runs this call."""
        return open_store(Path(self.patches), split, self.shared)


def require_trainable(
    settings: TrainSettings,
    patches: PatchStore,
    workers: int | WorkerRange,
    resources: WorkerResources,
) -> None:
    """Refuse a training that would fail on these patches or on this machine, before Ray starts.

    Raises:
        InputError: too few training patches for a batch, no room for the workers, or a precision
            for which the processor has no instructions.
    """
    counts = workers.counts if isinstance(workers, WorkerRange) else [workers]
    for count in counts:
        shuffled_reader(settings, patches, 0, count)
    require_local_capacity("train.workers", counts[0], resources.ray_resources)
    if runs_here() and not resources.gpus:
        require_fast_bfloat16(settings.model.precision)


def train_on_ray(
    job: TrainJob,
    workers: int | WorkerRange,
    resources: WorkerResources,
    storage: Storage,
    callbacks: Sequence[UserCallback] = (),
) -> State:
    """Train on `workers` Ray workers, tell `callbacks` of each epoch, and return the last state.

    The run is named after the job's key. So a rerun of the same job resumes from the last
    checkpoint in `storage`, and no other job uses this checkpoint.

    Raises:
        InputError: the workers failed too often, or the storage cannot be written.
    """
    least = workers.min if isinstance(workers, WorkerRange) else workers
    require_capacity("train.workers", least, resources.ray_resources)
    name = f"train-{job.key[:16]}"
    filesystem, folder = storage.child(name).open()
    storage.warn_if_others_write()

    def attempt() -> None:
        try:
            run_in_thread(lambda: fit(job, workers, resources, storage, name, callbacks))
        except TrainingFailedError as error:
            reason = getattr(error, "controller_failure", None)
            if isinstance(reason, OSError):  # Ray could not write its list of checkpoints
                raise reason from None
            raise InputError(f"train: {last_line(error)}") from error

    with exclusive_lock(storage, name), _showing_epochs(filesystem, folder, job.settings.epochs):
        retry_writes(attempt, folder)
    state = newest_state(filesystem, folder, job.key)
    if state is None:
        raise InputError(
            f"{storage}: the training left no checkpoint there: see {terminal.log() or 'its log'}"
        )
    return state


def fit(
    job: TrainJob,
    workers: int | WorkerRange,
    resources: WorkerResources,
    storage: Storage,
    name: str,
    callbacks: Sequence[UserCallback] = (),
) -> None:
    """Run the job as the Ray Train run `name`, or resume this run from `storage`.

    If `workers` is a number, the run waits until there is room for all of them.
    """
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        # NCCL does not let several workers share a GPU.
        torch_config=TorchConfig(backend="gloo" if resources.gpus < 1 else "nccl"),
        scaling_config=ScalingConfig(
            num_workers=(workers.min, workers.max) if isinstance(workers, WorkerRange) else workers,
            use_gpu=resources.gpus > 0,
            resources_per_worker=resources.ray_resources,
        ),
        run_config=RunConfig(
            name=name,
            storage_path=storage.path_or_uri,
            failure_config=FailureConfig(max_failures=WORKER_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig(log_level="WARNING"),
            callbacks=[EndAtDivergence(), *callbacks],
        ),
    )
    drop_unusable_list(*storage.child(name).open())
    trainer.fit()


class EndAtDivergence(UserCallback):  # type: ignore[misc]
    """Ends a run whose training diverged, which every retry would repeat."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:  # noqa: ARG002
        """Raise the error in Ray's controller, which does not retry after an error of its own."""
        for error in worker_exceptions.values():
            cause = getattr(error, "_base_exc", error)  # Ray wraps errors of workers
            if isinstance(cause, TrainingDivergedError):
                raise cause


@contextmanager
def _showing_epochs(filesystem: FileSystem, folder: str, epochs: int) -> Iterator[None]:
    """Show how many epochs are done, while the workers train and write to `folder`."""
    ended = Event()
    done = last_epoch(filesystem, folder)

    def watch() -> None:
        with terminal.progress("train", epochs, "epoch", done=done) as shown:
            while True:
                last = ended.wait(SECONDS_BETWEEN_LOOKS)
                with suppress(OSError):  # the workers say what they cannot write
                    terminal.set_progress(shown, epochs_done(filesystem, folder))
                if last:
                    return

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def train_worker(config: dict[str, Any]) -> None:
    """Train in one Ray worker; Ray calls this function in each worker."""
    job: TrainJob = config["job"]
    context = ray.train.get_context()
    set_torch_threads(context.get_local_world_size() * job.concurrent_jobs)
    storage = context.get_storage()
    folder = storage.storage_filesystem, storage.experiment_fs_path
    worker = Worker(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=ray.train.torch.get_device(),
        wrap=_data_parallel,
        tell_progress=partial(write_progress, *folder),
    )
    # Ray's own list of checkpoints is not used: it lacks checkpoints written just before a kill.
    resume = newest_state(*folder, job.key)
    train(
        job.settings,
        job.open(TRAIN),
        open_validation(job),
        worker,
        lambda metrics, state: _report(job, worker, metrics, state),
        resume=resume,
    )


def open_validation(job: TrainJob) -> Validation:
    """Read the validation data of the job."""
    labelled = job.open(LABELLED_VALIDATION) if job.labelled else None
    return load_validation(job.open(VALIDATION), job.settings.seed, labelled)


def _report(job: TrainJob, worker: Worker, metrics: Metrics, state: State) -> None:
    """Report an epoch to Ray, on every rank since the report is a barrier; rank 0 saves a state."""
    if worker.rank != 0:
        ray.train.report(metrics)
        return
    print(describe_epoch(metrics, job.settings.epochs), flush=True)
    with scratch_folder() as folder:
        save_checkpoint(folder, state, job.key)
        ray.train.report(
            metrics,
            checkpoint=Checkpoint.from_directory(folder),
            # The name sorts by epoch, and is never a name that Ray has in its list already.
            checkpoint_dir_name=f"{EPOCH}{state['epoch']:06d}-{time.time_ns()}",
            checkpoint_upload_fn=_upload,
        )


def _upload(checkpoint: Checkpoint, name: str) -> Checkpoint:
    storage = ray.train.get_context().get_storage()
    place = storage.build_checkpoint_path_from_name(name)
    retry_writes(lambda: storage.persist_current_checkpoint(checkpoint, name), place)
    return Checkpoint(place, storage.storage_filesystem)


def describe_epoch(metrics: Metrics, epochs: int) -> str:
    """Return one readable line about an epoch."""
    values = " ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "epoch")
    return f"epoch {metrics['epoch']:.0f} of {epochs}: {values}"


def _data_parallel(network: nn.Module) -> nn.Module:
    # The discriminator runs twice before its one backward pass; broadcasting buffers in between
    # would change tensors that the first pass saved. The loop averages buffers after each epoch.
    options = {"forward_sync_buffers": False, "gradient_as_bucket_view": True}
    return ray.train.torch.prepare_model(network, parallel_strategy_kwargs=options)
