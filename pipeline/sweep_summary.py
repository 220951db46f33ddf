"""What a sweep found, for people: a table of words, and Optuna's figures of its trials."""

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import matplotlib as mpl
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as drawn

from pipeline.files import write_whole
from pipeline.search_space import Choices, Range, Space
from pipeline.sweep_results import SweepResult, TrialResult

SUMMARY = "summary.txt"
FIGURES = "figures"
DPI = 110


def write_summary(folder: Path, result: SweepResult, space: Space, objective: str) -> None:
    """Write summary.txt and the figures that the trials suffice for."""
    study = as_study(result, space)
    text = describe(result, study, objective)
    write_whole(folder / SUMMARY, (text + "\n").encode())
    with warnings.catch_warnings(), mpl.rc_context({"backend": "agg"}):
        warnings.simplefilter("ignore")  # "experimental", and axes on which all trials agree
        draw_figures(folder / FIGURES, study, _comparable(result) and bool(importances(study)))


def describe(result: SweepResult, study: optuna.Study, objective: str) -> str:
    """Best settings, importance of each, how the time was spent, and what failed and why."""
    counts = {
        state: sum(trial.state == state for trial in result.trials)
        for state in ("finished", "stopped", "failed")
    }
    wall = sum(trial.ended - trial.started for trial in result.trials)
    training = sum(trial.training_seconds for trial in result.trials)
    important = importances(study) if _comparable(result) else {}
    lines = [
        f"best {objective} {result.value:.3f} of {len(result.trials)} trials: "
        + ", ".join(f"{state} {count}" for state, count in counts.items()),
        f"{'setting':<12} {'best':>10} {'importance':>12}",
    ]
    for name, value in result.best.items():
        share = f"{important[name]:.2f}" if name in important else "not defined"
        lines.append(f"{name:<12} {value:>10.4g} {share:>12}")
    if wall:
        lines.append(f"training took {training / wall:.0%} of the trials' {wall:.0f} s")
    lines += [
        f"failed: {_one_line(trial)}: {trial.reason}"
        for trial in result.trials
        if trial.state == "failed"
    ]
    return "\n".join(lines)


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the objective's variance that each setting explains (fANOVA), adding up to 1.

    None where there is no variance: fANOVA's trees may see none in two or three trials.
    """
    try:
        return dict(optuna.importance.get_param_importances(study, evaluator=_evaluator()))
    except RuntimeError:
        return {}


def draw_figures(folder: Path, study: optuna.Study, comparable: bool) -> None:
    """Draw Optuna's figures; two of them need objectives that differ."""
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


def as_study(result: SweepResult, space: Space) -> optuna.Study:
    """The trials as an Optuna study, in the order in which they began."""
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
    """Whether there are two objectives to compare."""
    return len({trial.objective for trial in result.trials if trial.state != "failed"}) > 1


def _one_line(trial: TrialResult) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in trial.settings.items())
