"""Logs a sweep's trials to MLflow."""

from pipeline.sweeps.results import SweepResult, TrialResult
from pipeline.tracking.runs import trial_run_name
from pipeline.tracking.tracked_run import TrackedRun

BEST_OBJECTIVE = "best_objective"  # of a trial's best epoch, by which trials are ranked


def log_trials(sweep_run: TrackedRun, result: SweepResult) -> None:
    """Log the missing parts of each trial to the trial's run.

    A trial that an earlier run of the sweep finished has no run in `sweep_run` yet.
    """
    runs = sweep_run.children({})
    for trial in result.trials:
        if run := runs.get(trial_run_name(trial.trial)):
            _log_result(run, trial)  # and leave the time at which the trial ended
        else:
            log_trial(sweep_run, trial)


def log_trial(sweep_run: TrackedRun, trial: TrialResult) -> None:
    """Log the missing parts of a trial to the trial's run, which is nested in the sweep's run."""
    run = sweep_run.child(trial_run_name(trial.trial), trial.settings)
    _log_result(run, trial)
    run.finish("FAILED" if trial.state == "failed" else "FINISHED")


def _log_result(run: TrackedRun, trial: TrialResult) -> None:
    run.log_missing_history(trial.curve)
    run.log_metrics({BEST_OBJECTIVE: trial.objective})
    run.set_tags({"state": trial.state, "reason": trial.reason})
