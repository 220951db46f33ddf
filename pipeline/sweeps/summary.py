"""Writes a sweep's summary for people: a text table, and Optuna's figures of the trials."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as drawn

from pipeline.common.files import write_whole
from pipeline.common.tables import text_table
from pipeline.settings.search_space import Choices, Range, Space, Value
from pipeline.sweeps.results import SweepResult, TrialResult

SUMMARY = "summary.txt"
FIGURES = "figures"
DPI = 110


def write_summary(folder: Path, result: SweepResult, space: Space, objective: str) -> None:
    """Write summary.txt, and the figures for which there are enough trials."""
    study = as_study(result, space)
    text = sweep_text(result, study, objective)
    write_whole(folder / SUMMARY, (text + "\n").encode())
    with warnings.catch_warnings(), mpl.rc_context({"backend": "agg"}):
        warnings.simplefilter("ignore")  # of experimental functions, and of axes with one value
        draw_figures(folder / FIGURES, study, _comparable(result) and bool(importances(study)))
    if is_grid(result, space):
        draw_grid(folder / FIGURES / "grid.png", result, objective)


def sweep_text(result: SweepResult, study: optuna.Study, objective: str) -> str:
    """Return the text of summary.txt: best settings, importances, share of training, failures."""
    counts = {
        state: sum(trial.state == state for trial in result.trials)
        for state in ("finished", "stopped", "failed")
    }
    wall = sum(trial.ended - trial.started for trial in result.trials)
    training = sum(trial.training_seconds for trial in result.trials)
    important = importances(study) if _comparable(result) else {}
    settings = [
        (name, f"{value:.4g}", f"{important[name]:.2f}" if name in important else "not defined")
        for name, value in result.best.items()
    ]
    lines = [
        f"best {objective} {result.value:.3f} of {len(result.trials)} trials: "
        + ", ".join(f"{state} {count}" for state, count in counts.items()),
        text_table(["setting", "best", "importance"], settings),
    ]
    if wall:
        lines.append(f"training took {training / wall:.0%} of the trials' {wall:.0f} s")
    lines += [
        f"failed: {_one_line(trial)}: {trial.reason}"
        for trial in result.trials
        if trial.state == "failed"
    ]
    return "\n".join(lines)


def importances(study: optuna.Study) -> dict[str, float]:
    """Return the share of the objective's variance that each setting explains (fANOVA, sum 1).

    The dict is empty if there is no variance: fANOVA's trees may see none in two or three trials.
    """
    try:
        return dict(optuna.importance.get_param_importances(study, evaluator=_evaluator()))
    except RuntimeError:
        return {}


def draw_figures(folder: Path, study: optuna.Study, comparable: bool) -> None:
    """Draw Optuna's figures: two always, two more if `comparable` (the objectives differ)."""
    figures = {
        "history": drawn.plot_optimization_history(study),
        "timeline": drawn.plot_timeline(study),
    }
    if comparable:
        evaluator = _evaluator()
        figures["parallel_coordinates"] = drawn.plot_parallel_coordinate(study)
        figures["importances"] = drawn.plot_param_importances(study, evaluator=evaluator)
    folder.mkdir(parents=True, exist_ok=True)
    for name, axes in figures.items():
        path = folder / f"{name}.png"
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.savefig(path, dpi=DPI, bbox_inches="tight", metadata={"Software": None})


def is_grid(result: SweepResult, space: Space) -> bool:
    """Return whether the trials are the full grid of the choices, with two combinations or more."""
    searched = [space[name] for name in result.best]
    choices = [values.choices for values in searched if isinstance(values, Choices)]
    tried = {tuple(map(trial.settings.get, result.best)) for trial in result.trials}
    whole = len(choices) == len(searched) and tried == set(product(*choices))
    return whole and len(tried) > 1


def draw_grid(path: Path, result: SweepResult, objective: str) -> None:
    """Draw Figures 8 and 9: the objective against each setting that has several choices.

    A dot is a trial; the line is the mean over the other settings. Failed trials are left out.
    """
    trials = [trial for trial in result.trials if trial.state != "failed"]
    names = [n for n in result.best if len({trial.settings[n] for trial in trials}) > 1]
    figure = Figure(figsize=(3.6 * max(1, len(names)), 3.4), layout="constrained")
    for number, name in enumerate(names, start=1):
        draw_setting(figure.add_subplot(1, len(names), number), name, trials)
    figure.supylabel(f"{objective}, of validation scans", fontsize=10)
    figure.suptitle(f"{len(trials)} trials; none has seen the test part", fontsize=10)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})


def draw_setting(axes: Axes, name: str, trials: Sequence[TrialResult]) -> None:
    """Draw the trials' objectives against one setting, and their mean at each of its values."""
    by_value: dict[Value, list[float]] = {
        value: [] for value in sorted({t.settings[name] for t in trials})
    }
    for trial in trials:
        if trial.objective is not None:
            by_value[trial.settings[name]].append(trial.objective)
    for place, objectives in enumerate(by_value.values()):
        axes.scatter([place] * len(objectives), objectives, s=14, color="0.6")
    axes.plot([fmean(objectives) for objectives in by_value.values()], marker="o", color="#4c78a8")
    axes.set_xticks(range(len(by_value)), [f"{value:g}" for value in by_value])
    axes.set_xlabel(name)
    axes.spines[["top", "right"]].set_visible(False)


def as_study(result: SweepResult, space: Space) -> optuna.Study:
    """Return the trials as an Optuna study, in the order in which they began."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for number, trial in enumerate(sorted(result.trials, key=lambda trial: trial.started)):
        study.add_trial(_frozen(number, trial, space))
    return study


def _frozen(number: int, trial: TrialResult, space: Space) -> FrozenTrial:
    failed = trial.state == "failed" or trial.objective is None
    began = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.FAIL if failed else TrialState.COMPLETE,
        value=None if failed else trial.objective,
        datetime_start=began + timedelta(seconds=trial.started),
        datetime_complete=began + timedelta(seconds=trial.ended),
        params=dict(trial.settings),
        distributions={name: _distribution(space[name]) for name in trial.settings},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def _distribution(values: Range | Choices) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(values.choices)
    return FloatDistribution(*values, log=True)


def _evaluator() -> optuna.importance.FanovaImportanceEvaluator:
    return optuna.importance.FanovaImportanceEvaluator(seed=0)


def _comparable(result: SweepResult) -> bool:
    """Return whether the trials have at least two different objectives."""
    return len({trial.objective for trial in result.trials if trial.state != "failed"}) > 1


def _one_line(trial: TrialResult) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in trial.settings.items())
