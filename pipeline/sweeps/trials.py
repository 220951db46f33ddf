"""Logs the trials of a sweep to MLflow while the sweep runs, and collects their results."""

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune import Callback, Result, ResultGrid
from ray.tune.experiment import Trial
from tqdm import tqdm

from pipeline.cluster.storage import Storage
from pipeline.common import terminal
from pipeline.common.errors import last_line
from pipeline.settings.blocks import TuneSettings
from pipeline.sweeps.results import SweepResult, TrialResult, rank, require_enough
from pipeline.sweeps.trainable import OBJECTIVE, trial_epochs_done
from pipeline.tracking.runs import trial_run_name
from pipeline.tracking.tracked_run import NoRun, StoredRun, TrackedRun
from pipeline.tracking.tracker import Tracker, tracking_uri

SECONDS_BETWEEN_LOOKS = 10  # at the progress of the trials that run
ENDED = (Trial.TERMINATED, Trial.ERROR)


class TrackTrials(Callback):
    """Makes an MLflow run for each trial in the sweep's run, logs its epochs and closes it."""

    def __init__(self, sweep_run: TrackedRun, objective_name: str) -> None:
        self.sweep_run = sweep_run
        self.objective_name = objective_name
        self.runs: dict[str, TrackedRun] = {}

    def __getstate__(self) -> dict[str, str | None]:
        """Leave out the store's address: it may hold a password, and Tune keeps this in a file."""
        return {"run_id": self.sweep_run.id, "objective_name": self.objective_name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Continue with the store of this process."""
        run_id = state["run_id"]
        run = StoredRun(Tracker(tracking_uri()), run_id) if run_id else NoRun()
        self.__init__(run, state["objective_name"])  # type: ignore[misc]

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Open the run of a trial at its start, so that MLflow shows it and its true duration."""
        self._run(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Log the metrics of one epoch of a trial."""
        names = ("epoch", *_curve_names(result), self.objective_name)
        self._run(trial).log_epoch({name: result[name] for name in names})

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the run of a trial that ended or that ASHA stopped."""
        self._run(trial).finish()

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the run of a trial that failed."""
        self._run(trial).finish("FAILED")

    def _run(self, trial: Trial) -> TrackedRun:
        """Return the trial's run; asks MLflow only once for each trial."""
        if trial.trial_id not in self.runs:
            name = trial_run_name(trial.trial_id)
            self.runs[trial.trial_id] = self.sweep_run.child(name, trial.config)
        return self.runs[trial.trial_id]


class ShowTrials(Callback):
    """Shows how many trials are done, and the best objective so far."""

    def __init__(self, total: int, settings: TuneSettings, sweep: Storage) -> None:
        self.total = total
        self.settings = settings
        self.sweep = sweep
        self.shares: dict[str, float] = {}  # of each running trial, done at the last look
        self.next_look = 0.0
        self.shown: tqdm[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the terminal, which a file cannot hold: Tune keeps this object in one."""
        return {**vars(self), "shares": {}, "next_look": 0.0, "shown": None}

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Count the trials that have ended, and the shares of those that run."""
        ended = sum(trial.status in ENDED for trial in trials)
        running = [trial.trial_id for trial in trials if trial.status == Trial.RUNNING]
        if self.shown is None:
            self.shown = terminal.progress("tune", self.total, "trial", done=ended)
        if time.monotonic() >= self.next_look:
            with suppress(OSError):
                self.shares = {name: self._share(name) for name in running}
            self.next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        objectives = [
            trial.metric_analysis[OBJECTIVE]["max"]
            for trial in trials
            if OBJECTIVE in trial.metric_analysis and trial.status != Trial.ERROR
        ]
        if objectives:
            self.shown.set_postfix_str(f"best {max(objectives):.3f}", refresh=False)
        done = ended + sum(self.shares.get(name, 0) for name in running)
        terminal.set_progress(self.shown, done)

    def _share(self, trial: str) -> float:
        return min(trial_epochs_done(self.sweep, trial, self.settings) / self.settings.epochs, 1)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Leave the last state on the terminal."""
        if self.shown is not None:
            self.shown.close()


def collect_results(grid: ResultGrid, settings: TuneSettings) -> SweepResult:
    """Return the result of every trial, best trial first.

    Raises:
        InputError: every trial failed, or more than the share `settings.max_failed`.
    """
    results = [grid[index] for index in range(len(grid))]
    begins = [_began(result) for result in results]
    first = min((began for began in begins if began is not None), default=0.0)
    ranked = rank([_trial(result, settings.epochs, first) for result in results])
    require_enough(ranked, settings.max_failed)
    return ranked


def _trial(result: Result, epochs: int, first: float) -> TrialResult:
    settings = result.config or {}
    reason = last_line(result.error) if result.error else ""
    trial = Path(result.path).name
    began = _began(result)
    if result.metrics_dataframe is None or began is None:
        reason = reason or "no epoch ended"
        return TrialResult(trial, settings, None, "failed", 0, 0.0, 0.0, 0.0, reason)
    # After a kill, epochs are reported again.
    curve = result.metrics_dataframe.drop_duplicates(["epoch", OBJECTIVE])
    epochs_done = int(curve["epoch"].max())
    names = ["epoch", *_curve_names(curve)]
    best = curve.loc[curve[OBJECTIVE].idxmax()]
    return TrialResult(
        trial,
        # Those of the best epoch: pbt changes a trial's settings between epochs.
        {name: _number(best.get(f"config/{name}", value)) for name, value in settings.items()},
        objective=float(best[OBJECTIVE]),
        state="failed" if result.error else "finished" if epochs_done == epochs else "stopped",
        epochs=epochs_done,
        training_seconds=float(curve["seconds"].sum()),
        started=began - first,
        ended=float(curve["timestamp"].max()) - first,
        reason=reason,
        curve=curve[names].astype(float).to_dict("records"),
    )


def _number(value: float) -> int | float:
    """Return a number of a column that pandas may have made floats: 2.0 is the choice 2."""
    return int(value) if float(value).is_integer() else float(value)


def _curve_names(metrics: Iterable[str]) -> list[str]:
    """Return the metrics that a trial's curves show: the method's losses, seconds and objective."""
    return [name for name in metrics if name.startswith("loss_") or name in ("seconds", OBJECTIVE)]


def _began(result: Result) -> float | None:
    """Return when a trial began, in Unix seconds; None if the trial completed no epoch."""
    curve = result.metrics_dataframe
    if curve is None or not len(curve):
        return None
    return float((curve["timestamp"] - curve["time_total_s"]).min())
