"""The sweep: Ray Tune searches the loss weights and the latent size.

The objective never sees the test split. It is the AUC on the labelled validation scans, if there
are any; otherwise it is the label-free criterion of `pipeline.training.criterion`.
"""

import random
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune import Callback, Tuner
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import BasicVariantGenerator, SearchAlgorithm, Searcher
from ray.tune.search.optuna import OptunaSearch

from pipeline.cluster.locks import exclusive_lock
from pipeline.cluster.preflight import require_capacity, require_local_capacity, runs_here
from pipeline.cluster.session import run_in_thread
from pipeline.cluster.storage import Storage
from pipeline.common.errors import require
from pipeline.common.files import code_digest, digest
from pipeline.common.names import LABELLED_VALIDATION
from pipeline.models.interface import method_of
from pipeline.models.precision import numeric_environment, require_fast_bfloat16
from pipeline.patches.store import PatchStore
from pipeline.settings.blocks import MUTABLE, TuneSettings
from pipeline.settings.model import LossSettings, ModelSettings
from pipeline.settings.search_space import Choices, Range, Space
from pipeline.sweeps.log_trials import log_trials
from pipeline.sweeps.results import SweepResult
from pipeline.sweeps.snapshots import (
    Rungs,
    SealSnapshot,
    forget_local_copies,
    resumable_rungs,
    set_rungs,
    sweep_name,
    warn_of_another_project,
)
from pipeline.sweeps.trainable import OBJECTIVE, SweepJob, run_parallel_trial, run_trial
from pipeline.sweeps.trials import ShowTrials, TrackTrials, collect_results
from pipeline.tracking.runs import close_abandoned_trials, tag_best, trial_run_name
from pipeline.tracking.tracked_run import TrackedRun
from pipeline.training.criterion import objective_name
from pipeline.training.loop import DECIDING, TrainSettings, shuffled_reader

KEPT_CHECKPOINTS = 2  # for each trial: after a kill, Tune may know only the last but one
TRIAL_FAILURES = 2  # restarts of a trial from its last checkpoint: its node may have died
NEXT_TO_NOTHING = {"CPU": 0.0, "memory": 1.0}  # one byte: Tune refuses a trial without resources
WORKERS = "tune.concurrent times tune.workers"
REDUCTION_FACTOR = 2  # ASHA keeps the better half at each rung


def sweep_objective(patches: Path) -> str:
    """Return the name of the metric that a sweep over these patches maximises."""
    return objective_name(PatchStore(patches, LABELLED_VALIDATION))


def sweep_key(model: ModelSettings, settings: TuneSettings, data: str) -> str:
    """Return the digest of everything that decides a sweep's trials; the same key resumes it.

    `tune.max_failed` has no part in it, so raising it keeps the trials of a sweep that failed.
    """
    code = code_digest((*DECIDING, "pipeline.sweeps"))
    asked = {name: value for name, value in asdict(settings).items() if name != "max_failed"}
    return digest([asdict(model), asked, data, code, numeric_environment()])


def require_runnable(model: ModelSettings, settings: TuneSettings, patches: PatchStore) -> None:
    """Refuse a sweep that would fail on these patches or on this machine, before Ray starts.

    Raises:
        InputError: too few training patches for a batch, no room for the workers, a precision
            for which the processor has no instructions, or nothing to change under pbt.
    """
    any_losses = LossSettings(1, 1, 1, 1)
    training = TrainSettings(model, any_losses, settings.epochs, settings.seed)
    shuffled_reader(training, patches, 0, settings.workers)
    require_local_capacity(WORKERS, settings.concurrent * settings.workers, settings.ray_resources)
    if runs_here() and not settings.gpus:
        require_fast_bfloat16(model.precision)
    _scheduler(settings, _searched(model, settings))


def run_sweep(
    job: SweepJob, storage: Storage, run: TrackedRun, trial: Callable[..., None] | None = None
) -> SweepResult:
    """Run the sweep, or resume it: its folder in `storage` is named after its key.

    The trials' MLflow runs are nested in `run`. `trial` replaces `run_trial` in benchmarks of the
    sweep itself.

    Raises:
        InputError: every trial failed, or more than the share `tune.max_failed`.
    """
    settings = job.tune
    require_capacity(WORKERS, settings.concurrent * settings.workers, settings.ray_resources)
    name = sweep_name(job.key)
    sweep = storage.child(name)
    trainable = _trainable(job, sweep, trial or run_trial)
    storage.warn_if_others_write()
    with exclusive_lock(storage, name):
        warn_of_another_project(storage, name)
        rungs = resumable_rungs(sweep)
        forget_local_copies(name)
        # This writes the tuner.pkl that `Tuner.restore` then reads.
        tuner = _new_tuner(trainable, job, storage, TrackTrials(run, job.objective), rungs)
        if rungs is not None:
            tuner = Tuner.restore(sweep.path_or_uri, trainable=trainable, restart_errored=True)
        result = collect_results(run_in_thread(tuner.fit), settings)
    names = [trial_run_name(trial.trial) for trial in result.trials]
    close_abandoned_trials(run, names)
    log_trials(run, result)
    tag_best(run, names[0])
    return result


def _trainable(job: SweepJob, sweep: Storage, trial: Callable[..., None]) -> Any:
    """Return the function that Tune runs for each trial, with the resources that it needs."""
    if job.tune.workers == 1:
        return tune.with_resources(partial(trial, job=job), job.tune.ray_resources)
    parallel = partial(run_parallel_trial, job=job, sweep=sweep)
    return tune.with_resources(parallel, NEXT_TO_NOTHING)  # its workers reserve their own


def _new_tuner(
    trainable: Any, job: SweepJob, storage: Storage, callback: Callback, rungs: Rungs | None = None
) -> Tuner:
    """Return the sweep as at its start, but with ASHA's state `rungs` if they are given."""
    settings, name = job.tune, sweep_name(job.key)
    space = _searched(job.model, settings)
    scheduler = _scheduler(settings, space)
    if rungs is not None:
        set_rungs(scheduler, rungs)
    return Tuner(
        trainable,
        param_space={name: _domain(values, settings) for name, values in space.items()},
        tune_config=tune.TuneConfig(
            metric=OBJECTIVE,
            mode="max",
            num_samples=1 if settings.sampler == "grid" else settings.trials,
            max_concurrent_trials=settings.concurrent,
            # Starting an actor takes longer than a short epoch. Actors of pbt and of Ray Train do
            # not release their thread in time.
            reuse_actors=settings.workers == 1 and settings.scheduler != "pbt",
            trial_dirname_creator=trial_id,
            search_alg=_sampler(settings),
            scheduler=scheduler,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=storage.path_or_uri,
            callbacks=[
                callback,
                ShowTrials(_trial_count(settings, space), settings, storage.child(name)),
                SealSnapshot(scheduler),
            ],
            failure_config=tune.FailureConfig(max_failures=TRIAL_FAILURES),
            # Under pbt another trial may take over any checkpoint.
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=None if settings.scheduler == "pbt" else KEPT_CHECKPOINTS
            ),
        ),
    )


def _trial_count(settings: TuneSettings, space: Space) -> int:
    """Return how many trials the sweep has: a grid has as many as there are combinations."""
    if settings.sampler != "grid":
        return settings.trials
    return prod(len(values.choices) for values in space.values() if isinstance(values, Choices))


def _searched(model: ModelSettings, settings: TuneSettings) -> Space:
    """Return the search space without the loss weights that the method does not have."""
    unused = method_of(model).unused_lambdas()
    return {name: values for name, values in settings.space.items() if name not in unused}


def _domain(values: Range | Choices, settings: TuneSettings) -> Any:
    if not isinstance(values, Choices):
        return tune.loguniform(*values)
    choices = list(values.choices)
    return tune.grid_search(choices) if settings.sampler == "grid" else tune.choice(choices)


def _sampler(settings: TuneSettings) -> Searcher | SearchAlgorithm:
    if settings.sampler == "optuna":
        return OptunaSearch(seed=settings.seed)
    return BasicVariantGenerator(random_state=settings.seed)


def _scheduler(settings: TuneSettings, space: Space) -> TrialScheduler:
    if settings.scheduler == "asha":
        return ASHAScheduler(
            time_attr="epoch", max_t=settings.epochs, reduction_factor=REDUCTION_FACTOR
        )
    if settings.scheduler == "pbt":
        # PopulationBasedTraining draws from the global generators.
        random.seed(settings.seed)
        np.random.seed(settings.seed)
        mutable = {name: v for name, v in space.items() if name in MUTABLE}
        require(bool(mutable), "tune.space", sorted(space), f"one of {MUTABLE} that the method has")
        return PopulationBasedTraining(
            time_attr="epoch",
            perturbation_interval=1,
            # Given a list, Ray moves to a neighbouring choice; a tune.choice it would multiply.
            hyperparam_mutations={
                name: list(v.choices) if isinstance(v, Choices) else _domain(v, settings)
                for name, v in mutable.items()
            },
            custom_explore_fn=partial(clamp_to_ranges, space=mutable),
        )
    return FIFOScheduler()  # type: ignore[no-untyped-call]


def clamp_to_ranges(config: dict[str, Any], space: Space) -> dict[str, Any]:
    """Return a trial's settings with each value in its range, which Ray's factors may leave."""
    ranges = {name: v for name, v in space.items() if not isinstance(v, Choices)}
    return config | {name: min(max(config[name], v[0]), v[1]) for name, v in ranges.items()}


def trial_id(trial: Trial) -> str:
    """Return the trial's id, which names its folder and its MLflow run."""
    return str(trial.trial_id)
