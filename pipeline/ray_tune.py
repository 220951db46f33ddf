"""The sweep: Ray Tune over the loss weights and the latent size, one worker a trial.

The objective never sees the test part: it is the AUC on the labelled validation scans where
there are any, else the label-free criterion of `pipeline.selection`.
"""

import random
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune import Callback, Checkpoint, Result, ResultGrid, Tuner
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import BasicVariantGenerator, SearchAlgorithm, Searcher
from ray.tune.search.optuna import OptunaSearch

from pipeline.checkpoints import save_checkpoint
from pipeline.files import code_digest, digest
from pipeline.models.interface import method_of
from pipeline.models.settings import LossSettings, ModelSettings
from pipeline.patch_store import PatchStore
from pipeline.ray_cluster import read_state, share_cores
from pipeline.ray_preflight import require_place
from pipeline.ray_snapshots import can_go_on
from pipeline.search_space import Choices, Range, Space, apply
from pipeline.selection import load_validation, objective
from pipeline.settings import MUTABLE, TuneSettings
from pipeline.splits import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.sweep_results import SweepResult, TrialResult, rank, require_enough
from pipeline.tracking import Tracker, trial_run_name
from pipeline.training import (
    Metrics,
    State,
    TrainSettings,
    Worker,
    deciding,
    shuffled_reader,
    train,
)

OBJECTIVE = "objective"  # of an epoch; the best epoch of the best trial wins
KEPT_CHECKPOINTS = 2  # of a trial: after a kill, Tune may know of the one before only
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
    """

    model: ModelSettings
    tune: TuneSettings
    patches: str
    objective: str
    key: str


def sweep_objective(patches: Path) -> str:
    """The metric that a sweep over these patches maximises."""
    return objective(PatchStore(patches, LABELLED_VALIDATION))


def sweep_key(model: ModelSettings, tune: TuneSettings, data: str) -> str:
    """Digest of all that decides what a sweep finds; a rerun of the same key goes on with it."""
    return digest([asdict(model), asdict(tune), data, code_digest((__name__, *deciding(model)))])


def run_sweep(job: SweepJob, storage: str, tracker: Tracker, sweep_run: str) -> SweepResult:
    """Run the sweep, or what is left of it: it is named after its key.

    Raises:
        InputError: no trial finished.
    """
    settings = TrainSettings(job.model, LossSettings(1, 1, 1, 1), job.tune.epochs, job.tune.seed)
    shuffled_reader(settings, PatchStore(Path(job.patches), TRAIN), 0, 1)  # fails in one line
    require_place("tune.concurrent", job.tune.concurrent, {"CPU": 1.0})
    trainable = partial(run_trial, job=job)
    path = f"{storage}/tune-{job.key[:16]}"
    if can_go_on(path):
        tuner = Tuner.restore(path, trainable=trainable, restart_errored=True)
    else:
        tuner = _new_tuner(trainable, job, storage, TrackTrials(tracker, sweep_run, job.objective))
    result = _collect(tuner.fit(), job.tune)
    tracker.kill_others(sweep_run, [trial_run_name(trial.trial) for trial in result.trials])
    return result


def run_trial(config: dict[str, Any], job: SweepJob) -> None:
    """One trial: the training loop in this process, reporting to Tune after each epoch."""
    model, losses = apply(config, job.model)
    settings = TrainSettings(model, losses, job.tune.epochs, job.tune.seed)
    share_cores(job.tune.concurrent)
    folder = Path(job.patches)
    normals, labelled = PatchStore(folder, VALIDATION), PatchStore(folder, LABELLED_VALIDATION)
    checkpoint = tune.get_checkpoint()
    train(
        settings,
        PatchStore(folder, TRAIN),
        load_validation(normals, settings.seed, labelled),
        Worker(),
        partial(_report, job=job),
        resume=read_state(checkpoint, job.key) if checkpoint else None,
    )


class TrackTrials(Callback):
    """Nests an MLflow run for each trial in the sweep's run, with its curve and its end."""

    def __init__(self, tracker: Tracker, sweep_run: str, objective_name: str) -> None:
        self.tracker = tracker
        self.sweep_run = sweep_run
        self.objective_name = objective_name

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Log an epoch of a trial in one call."""
        run_id = self._run(trial)
        names = ("epoch", *_curve_names(result), self.objective_name)
        self.tracker.log_epoch(run_id, {name: result[name] for name in names})

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the run of a trial that ended, or that ASHA stopped."""
        self.tracker.finish(self._run(trial))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the run of a trial that failed."""
        self.tracker.finish(self._run(trial), "FAILED")

    def _run(self, trial: Trial) -> str:
        run_id = self.tracker.child_run(self.sweep_run, trial_run_name(trial.trial_id))
        self.tracker.log_params(run_id, trial.config)
        return run_id


def _new_tuner(trainable: Any, job: SweepJob, storage: str, callback: Callback) -> Tuner:
    asked = job.tune
    unused = method_of(job.model).unused_lambdas()
    space = {name: values for name, values in asked.space.items() if name not in unused}
    return Tuner(
        trainable,
        param_space={name: _domain(values, asked) for name, values in space.items()},
        tune_config=tune.TuneConfig(
            metric=OBJECTIVE,
            mode="max",
            num_samples=1 if asked.sampler == "grid" else asked.trials,
            max_concurrent_trials=asked.concurrent,
            trial_dirname_creator=trial_id,
            search_alg=_sampler(asked),
            scheduler=_scheduler(asked, space),
        ),
        run_config=tune.RunConfig(
            name=f"tune-{job.key[:16]}",
            storage_path=storage,
            callbacks=[callback],
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
        return PopulationBasedTraining(
            time_attr="epoch",
            perturbation_interval=1,
            hyperparam_mutations={name: _domain(v, asked) for name, v in mutable.items()},
        )
    return FIFOScheduler()  # type: ignore[no-untyped-call]


def trial_id(trial: Trial) -> str:
    """Names a trial's folder as MLflow names its run."""
    return str(trial.trial_id)


def _report(metrics: Metrics, state: State, job: SweepJob) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), state, job.key)
        reported = {**metrics, OBJECTIVE: metrics[job.objective]}
        tune.report(reported, checkpoint=Checkpoint.from_directory(folder))


def _collect(grid: ResultGrid, asked: TuneSettings) -> SweepResult:
    """Every trial with its best epoch, best trial first.

    Raises:
        InputError: more trials failed than were allowed to.
    """
    results = [grid[index] for index in range(len(grid))]
    begins = [_began(result) for result in results]
    first = min((began for began in begins if began is not None), default=0.0)
    ranked = rank([_trial(result, asked.epochs, first) for result in results])
    require_enough(ranked, asked.max_failed)
    return ranked


def _trial(result: Result, epochs: int, first: float) -> TrialResult:
    settings = result.config or {}
    reason = _one_line(result.error) if result.error else ""
    trial = Path(result.path).name
    curve = result.metrics_dataframe
    began = _began(result)
    if curve is None or began is None:
        reason = reason or "no epoch ended"
        return TrialResult(trial, settings, None, "failed", 0, 0.0, 0.0, 0.0, reason)
    done = int(curve["epoch"].max())
    names = ["epoch", *_curve_names(curve)]
    return TrialResult(
        trial,
        settings,
        objective=float(curve[OBJECTIVE].max()),
        state="failed" if result.error else "finished" if done == epochs else "stopped",
        epochs=done,
        training_seconds=float(curve["seconds"].sum()),
        started=began - first,
        ended=float(curve["timestamp"].max()) - first,
        reason=reason,
        curve=curve[names].astype(float).to_dict("records"),
    )


def _curve_names(metrics: Iterable[str]) -> list[str]:
    """What of a trial's metrics its curves show: the losses, which the method names, and so on."""
    return [name for name in metrics if name.startswith("loss_") or name in ("seconds", OBJECTIVE)]


def _began(result: Result) -> float | None:
    """When a trial began, in seconds of the clock; None where no epoch of it ended."""
    curve = result.metrics_dataframe
    if curve is None or not len(curve):
        return None
    return float((curve["timestamp"] - curve["time_total_s"]).min())


def _one_line(error: BaseException) -> str:
    """The last line of a trial's error, which names what it raised."""
    return str(error).strip().splitlines()[-1]
