"""The sweep: Ray Tune over the loss weights and the latent size.

A trial of one worker is trained in the trial itself, one of several under Ray Train: by the same
loop.

The objective never sees the test part: it is the AUC on the labelled validation scans where
there are any, else the label-free criterion of `pipeline.training.criterion`.
"""

import random
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune
from ray.tune import Callback, Checkpoint, Tuner
from ray.tune.experiment import Trial
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import BasicVariantGenerator, SearchAlgorithm, Searcher
from ray.tune.search.optuna import OptunaSearch

from pipeline.cluster.locks import exclusive_lock
from pipeline.cluster.preflight import require_capacity
from pipeline.cluster.session import apart_from_signals, share_cores
from pipeline.cluster.storage import Storage
from pipeline.common.errors import require
from pipeline.common.files import code_digest, digest
from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.models.interface import method_of
from pipeline.models.tensor_files import save_checkpoint
from pipeline.patches.store import PatchStore
from pipeline.patches.upload import SharedPatches, open_store
from pipeline.settings.model import LossSettings, ModelSettings
from pipeline.settings.params import MUTABLE, TuneSettings
from pipeline.settings.search_space import Choices, Range, Space, apply
from pipeline.sweeps.results import SweepResult
from pipeline.sweeps.snapshots import KeepScheduler, SealSnapshot, can_resume
from pipeline.sweeps.trials import OBJECTIVE, TrackTrials, collect_results
from pipeline.tracking.runs import kill_others, tag_best, trial_run_name
from pipeline.tracking.tracker import UNLOGGED, Tracker
from pipeline.training.criterion import Validation, load_validation, objective
from pipeline.training.loop import (
    DECIDING,
    Metrics,
    State,
    TrainSettings,
    Worker,
    shuffled_reader,
    train,
)
from pipeline.training.on_ray import TrainJob, fit
from pipeline.training.ray_checkpoints import newest_state, retry_writes

KEPT_CHECKPOINTS = 2  # of a trial: after a kill, Tune may know of the one before only
TRIAL_FAILURES = 2  # restarts of a trial from its last checkpoint: its node may have died
NEXT_TO_NOTHING = {"CPU": 0.0, "memory": 1.0}  # a byte; Tune does not let a trial ask for nothing
REDUCTION_FACTOR = 2  # ASHA keeps the better half at each rung


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


def sweep_objective(patches: Path) -> str:
    """The metric that a sweep over these patches maximises."""
    return objective(PatchStore(patches, LABELLED_VALIDATION))


def sweep_key(model: ModelSettings, tune: TuneSettings, data: str) -> str:
    """Digest of all that decides what a sweep finds; a rerun of the same key goes on with it."""
    return digest([asdict(model), asdict(tune), data, code_digest((*DECIDING, "pipeline.sweeps"))])


def run_sweep(
    job: SweepJob,
    storage: Storage,
    tracker: Tracker,
    sweep_run: str,
    trial: Callable[..., None] | None = None,
) -> SweepResult:
    """Run the sweep, or what is left of it: it is named after its key.

    `trial` stands in for `run_trial` where the sweep itself is measured.

    Raises:
        InputError: no trial finished.
    """
    asked = job.tune
    settings = TrainSettings(job.model, LossSettings(1, 1, 1, 1), asked.epochs, asked.seed)
    patches = open_store(Path(job.patches), TRAIN, job.shared)
    shuffled_reader(settings, patches, 0, asked.workers)  # fails in one line
    require_capacity(
        "tune.concurrent times tune.workers", asked.concurrent * asked.workers, asked.each
    )
    name = f"tune-{job.key[:16]}"
    sweep = storage.child(name)
    trainable = _trainable(job, sweep, trial or run_trial)
    with exclusive_lock(storage, name):
        if can_resume(sweep):
            tuner = Tuner.restore(sweep.place, trainable=trainable, restart_errored=True)
        else:
            callback = TrackTrials(tracker, sweep_run, job.objective)
            tuner = _new_tuner(trainable, job, storage, callback)
        result = collect_results(apart_from_signals(tuner.fit), asked)
    runs = [trial_run_name(trial.trial) for trial in result.trials]
    kill_others(tracker, sweep_run, runs)
    tag_best(tracker, sweep_run, runs[0])
    return result


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
    """What a trial trains. Its epochs are logged to MLflow by `TrackTrials`."""
    model, losses = apply(config, job.model)
    return TrainJob(
        settings=TrainSettings(model, losses, job.tune.epochs, job.tune.seed),
        patches=job.patches,
        key=job.key,
        tracker=Tracker(UNLOGGED),
        run_id=UNLOGGED,
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


def _trainable(job: SweepJob, sweep: Storage, trial: Callable[..., None]) -> Any:
    """What Tune runs for each trial, with what it asks of a node."""
    if job.tune.workers == 1:
        return tune.with_resources(partial(trial, job=job), job.tune.each)
    parallel = partial(run_parallel_trial, job=job, sweep=sweep)
    return tune.with_resources(parallel, NEXT_TO_NOTHING)  # its workers ask for themselves


def _new_tuner(trainable: Any, job: SweepJob, storage: Storage, callback: Callback) -> Tuner:
    asked = job.tune
    unused = method_of(job.model).unused_lambdas()
    space = {name: values for name, values in asked.space.items() if name not in unused}
    scheduler = _scheduler(asked, space)
    return Tuner(
        trainable,
        param_space={name: _domain(values, asked) for name, values in space.items()},
        tune_config=tune.TuneConfig(
            metric=OBJECTIVE,
            mode="max",
            num_samples=1 if asked.sampler == "grid" else asked.trials,
            max_concurrent_trials=asked.concurrent,
            # Starting one takes longer than a short epoch. Those of pbt and of Ray Train do not
            # give back their thread in time.
            reuse_actors=asked.workers == 1 and asked.scheduler != "pbt",
            trial_dirname_creator=trial_id,
            search_alg=_sampler(asked),
            scheduler=scheduler,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{job.key[:16]}",
            storage_path=storage.place,
            callbacks=[callback, KeepScheduler(scheduler), SealSnapshot()],
            failure_config=tune.FailureConfig(max_failures=TRIAL_FAILURES),
            # Under pbt any of them may be taken over by another trial.
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=None if asked.scheduler == "pbt" else KEPT_CHECKPOINTS
            ),
        ),
    )


def _domain(values: Range | Choices, asked: TuneSettings) -> Any:
    if not isinstance(values, Choices):
        return tune.loguniform(*values)
    choices = list(values.choices)
    return tune.grid_search(choices) if asked.sampler == "grid" else tune.choice(choices)


def _sampler(asked: TuneSettings) -> Searcher | SearchAlgorithm:
    if asked.sampler == "optuna":
        return OptunaSearch(seed=asked.seed)
    return BasicVariantGenerator(random_state=asked.seed)


def _scheduler(asked: TuneSettings, space: Space) -> TrialScheduler:
    if asked.scheduler == "asha":
        return ASHAScheduler(
            time_attr="epoch", max_t=asked.epochs, reduction_factor=REDUCTION_FACTOR
        )
    if asked.scheduler == "pbt":
        # It draws from the global generators.
        random.seed(asked.seed)
        np.random.seed(asked.seed)
        mutable = {name: v for name, v in space.items() if name in MUTABLE}
        require(bool(mutable), "tune.space", sorted(space), f"one of {MUTABLE} that the method has")
        return PopulationBasedTraining(
            time_attr="epoch",
            perturbation_interval=1,
            hyperparam_mutations={name: _domain(v, asked) for name, v in mutable.items()},
        )
    return FIFOScheduler()  # type: ignore[no-untyped-call]


def trial_id(trial: Trial) -> str:
    """Names a trial's folder as MLflow names its run."""
    return str(trial.trial_id)


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
