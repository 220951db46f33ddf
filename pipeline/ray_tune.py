"""The sweep: Ray Tune over the loss weights and the latent size, one worker a trial.

The objective never sees the test part: it is the AUC on the labelled validation scans where
there are any, else the label-free criterion of `pipeline.selection`.
"""

import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, Checkpoint, ResultGrid, Tuner
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from pipeline.best_settings import LOSS_NAMES, SweepResult
from pipeline.checkpoints import save_checkpoint
from pipeline.errors import InputError
from pipeline.files import code_digest, digest
from pipeline.models.skip_ganomaly.settings import LossSettings, ModelSettings
from pipeline.patch_store import PatchStore
from pipeline.ray_cluster import read_state, share_cores
from pipeline.selection import load_validation, objective
from pipeline.settings import TuneSettings
from pipeline.splits import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.tracking import Tracker
from pipeline.training import (
    DECIDING,
    Metrics,
    State,
    TrainSettings,
    Worker,
    shuffled_reader,
    train,
)

OBJECTIVE = "objective"  # of an epoch; the best epoch of the best trial wins
CURVES = ("loss_g", "loss_adv", "loss_con", "loss_lat", "loss_d", "seconds", OBJECTIVE)
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
    return digest([asdict(model), asdict(tune), data, code_digest((__name__, *DECIDING))])


def run_sweep(job: SweepJob, storage: str, tracker: Tracker, sweep_run: str) -> SweepResult:
    """Run the sweep, or what is left of it: it is named after its key.

    Raises:
        InputError: no trial finished.
    """
    settings = TrainSettings(job.model, LossSettings(1, 1, 1, 1), job.tune.epochs, job.tune.seed)
    shuffled_reader(settings, PatchStore(Path(job.patches), TRAIN), 0, 1)  # fails in one line
    trainable = partial(run_trial, job=job)
    path = f"{storage}/tune-{job.key[:16]}"
    if Tuner.can_restore(path):
        tuner = Tuner.restore(path, trainable=trainable, restart_errored=True)
    else:
        tuner = _new_tuner(trainable, job, storage, TrackTrials(tracker, sweep_run, job.objective))
    return _collect(tuner.fit())


def run_trial(config: dict[str, Any], job: SweepJob) -> None:
    """One trial: the training loop in this process, reporting to Tune after each epoch."""
    settings = TrainSettings(job.model, LossSettings(**config), job.tune.epochs, job.tune.seed)
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
        names = ("epoch", *CURVES, self.objective_name)
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
        run_id = self.tracker.child_run(self.sweep_run, f"trial-{trial.trial_id}")
        self.tracker.log_params(run_id, trial.config)
        return run_id


def _new_tuner(trainable: Any, job: SweepJob, storage: str, callback: Callback) -> Tuner:
    space = job.tune
    return Tuner(
        trainable,
        param_space={
            "lambda_adv": tune.loguniform(*space.lambda_adv),
            "lambda_con": tune.loguniform(*space.lambda_con),
            "lambda_lat": tune.loguniform(*space.lambda_lat),
            "latent_dim": tune.choice(list(space.latent_dim)),
        },
        tune_config=tune.TuneConfig(
            metric=OBJECTIVE,
            mode="max",
            num_samples=space.trials,
            max_concurrent_trials=space.concurrent,
            search_alg=OptunaSearch(seed=space.seed),
            scheduler=ASHAScheduler(
                time_attr="epoch", max_t=space.epochs, reduction_factor=REDUCTION_FACTOR
            ),
        ),
        run_config=tune.RunConfig(
            name=f"tune-{job.key[:16]}",
            storage_path=storage,
            callbacks=[callback],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )


def _report(metrics: Metrics, state: State, job: SweepJob) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), state, job.key)
        reported = {**metrics, OBJECTIVE: metrics[job.objective]}
        tune.report(reported, checkpoint=Checkpoint.from_directory(folder))


def _collect(grid: ResultGrid) -> SweepResult:
    """Every trial's best epoch, best trial first; equal ones by their settings."""
    rows = []
    for result in (grid[index] for index in range(len(grid))):
        curve = result.metrics_dataframe
        if result.error is None and curve is not None and len(curve):
            value = float(curve[OBJECTIVE].max())
            epochs = int(curve["epoch"].max())
            rows.append({**(result.config or {}), OBJECTIVE: value, "epochs": epochs})
    if not rows:
        raise InputError("tune: every trial failed: see the errors above, and narrow the ranges")
    rows.sort(key=lambda row: (-row[OBJECTIVE], row["lambda_adv"]))
    best = LossSettings(**{name: rows[0][name] for name in LOSS_NAMES})
    return SweepResult(best, rows[0][OBJECTIVE], rows)
