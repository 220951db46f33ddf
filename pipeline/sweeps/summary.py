"""Writes a sweep's summary for people: a text table, and figures of the trials."""

import warnings
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import matplotlib as mpl
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from pipeline.common.files import write_atomically
from pipeline.common.tables import text_table
from pipeline.settings.search_space import Choices, Range, Space
from pipeline.sweeps.figures import (
    draw_grid,
    draw_history,
    draw_importances,
    draw_parallel_coordinates,
    draw_timeline,
)
from pipeline.sweeps.results import SweepResult, TrialResult

SUMMARY = "summary.txt"
FIGURES = "figures"
# Simulated sweeps in which one of three settings explains half of the variance: fANOVA finds it the
# most important in 13 of 20 sweeps of 6 trials, and in 19 of 20 sweeps of 20 trials.
MIN_TRIALS = 20


def write_summary(folder: Path, result: SweepResult, space: Space, objective: str) -> None:
    """Write summary.txt, and the figures for which there are enough trials."""
    study = as_study(result, space)
    important = importances(study)
    text = sweep_text(result, important, objective)
    write_atomically(folder / SUMMARY, (text + "\n").encode())
    figures = folder / FIGURES
    draw_history(figures / "history.png", result.trials, objective)
    draw_timeline(figures / "timeline.png", result.trials)
    if important:
        title = f"Importance for {objective}, from {_counted(result)} trials"
        few = caution_of(result)
        draw_importances(figures / "importances.png", important, title, few)
        with warnings.catch_warnings(), mpl.rc_context({"backend": "agg"}):
            warnings.simplefilter("ignore")  # of experimental functions, and of axes with one value
            draw_parallel_coordinates(figures / "parallel_coordinates.png", study, objective)
    if is_grid(result, space):
        draw_grid(figures / "grid.png", result, objective)


def sweep_text(result: SweepResult, important: Mapping[str, float], objective: str) -> str:
    """Return the text of summary.txt: best settings, importances, share of training, failures."""
    counts = {
        state: sum(trial.state == state for trial in result.trials)
        for state in ("finished", "stopped", "failed")
    }
    wall = sum(trial.ended - trial.started for trial in result.trials)
    training = sum(trial.training_seconds for trial in result.trials)
    settings = [
        (name, f"{value:.4g}", f"{important[name]:.2f}" if name in important else "not defined")
        for name, value in result.best.items()
    ]
    lines = [
        f"best {objective} {result.value:.3f} of {len(result.trials)} trials: "
        + ", ".join(f"{state} {count}" for state, count in counts.items())
        + (f"; training took {training / wall:.0%} of their {wall:.0f} s" if wall else ""),
        text_table(["setting", "best", "importance"], settings),
        *([f"importance: {few}"] if important and (few := caution_of(result)) else []),
    ]
    lines += [
        f"failed: {_settings_text(trial)}: {trial.reason}"
        for trial in result.trials
        if trial.state == "failed"
    ]
    return "\n".join(lines)


def caution_of(result: SweepResult) -> str:
    """Return why the importances of a sweep are not to be trusted; "" if it has enough trials."""
    count = _counted(result)
    if count >= MIN_TRIALS:
        return ""
    return f"{count} trials are no evidence, {MIN_TRIALS} or more are needed (tune.trials)"


def importances(study: optuna.Study) -> dict[str, float]:
    """Return the share of the objective's variance that each setting explains (fANOVA, sum 1).

    The dict is empty if there is no variance: fANOVA's trees may see none in two or three trials.
    """
    done = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len({trial.value for trial in done}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    except RuntimeError:
        return {}


def is_grid(result: SweepResult, space: Space) -> bool:
    """Return whether the trials are the full grid of the choices, with two combinations or more."""
    searched = [space[name] for name in result.best]
    choices = [values.choices for values in searched if isinstance(values, Choices)]
    tried = {tuple(map(trial.settings.get, result.best)) for trial in result.trials}
    complete = len(choices) == len(searched) and tried == set(product(*choices))
    return complete and len(tried) > 1


def as_study(result: SweepResult, space: Space) -> optuna.Study:
    """Return the trials as an Optuna study, in the order in which they began."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for trial in sorted(result.trials, key=lambda trial: trial.started):
        failed = trial.state == "failed" or trial.objective is None
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                value=None if failed else trial.objective,
                params=dict(trial.settings),
                distributions={name: _distribution(space[name]) for name in trial.settings},
            )
        )
    return study


def _distribution(values: Range | Choices) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(values.choices)
    return FloatDistribution(*values, log=True)


def _counted(result: SweepResult) -> int:
    """Return the number of trials that have an objective and did not fail."""
    return sum(t.state != "failed" and t.objective is not None for t in result.trials)


def _settings_text(trial: TrialResult) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in trial.settings.items())
