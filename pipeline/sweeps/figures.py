"""The figures of a sweep. A trial has the name by which trials.csv and MLflow know it."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import fmean

import optuna
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from optuna.visualization import matplotlib as drawn

from pipeline.pages.plots import new_figure, save_figure
from pipeline.settings.search_space import Value
from pipeline.sweeps.results import SweepResult, TrialResult, TrialState

MAX_NAMES = 60  # of trials along an axis
BLUE, GREY = "#4c78a8", "0.6"
COLOURS: dict[TrialState, str] = {"finished": BLUE, "stopped": "#f58518", "failed": "#e45756"}
NAMED = "trial, as in trials.csv and MLflow"


def draw_history(path: Path, trials: Sequence[TrialResult], objective: str) -> Figure:
    """Draw each trial's objective, in the order in which the trials began, and the best so far."""
    ordered = _in_time(trials)
    figure, axes = new_figure(6.4, 4.2)
    counted = [
        (number, trial.objective)
        for number, trial in enumerate(ordered)
        if trial.objective is not None and trial.state != "failed"
    ]
    numbers, objectives = zip(*counted, strict=True)
    axes.scatter(numbers, objectives, color=BLUE, zorder=2, label="one trial")
    best = list(accumulate(objectives, max))
    axes.step(numbers, best, where="post", color=GREY, zorder=1, label="best so far")
    _name_trials(axes.xaxis, ordered)
    axes.tick_params(axis="x", rotation=90)
    axes.set(xlabel=NAMED, ylabel=f"{objective}, of validation scans")
    axes.set_xlim(-0.5, len(ordered) - 0.5)
    axes.set_title("What each trial reached", fontsize=11)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    save_figure(figure, path, "tight")
    return figure


def draw_timeline(path: Path, trials: Sequence[TrialResult]) -> Figure:
    """Draw when each trial that completed an epoch ran, coloured by how it ended."""
    ordered = _in_time([trial for trial in trials if trial.epochs])
    figure, axes = new_figure(6.4, min(0.9 + 0.28 * max(len(ordered), 5), 12))
    for state, colour in COLOURS.items():
        of_state = {number: t for number, t in enumerate(ordered) if t.state == state}
        if of_state:
            starts = [t.started for t in of_state.values()]
            lengths = [t.ended - t.started for t in of_state.values()]
            axes.barh(list(of_state), lengths, left=starts, color=colour, label=state)
    _name_trials(axes.yaxis, ordered)
    axes.invert_yaxis()
    axes.set(xlabel="seconds since the sweep's first trial began", ylabel="trial")
    axes.set_title("When each trial ran; names as in trials.csv and MLflow", fontsize=11)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    save_figure(figure, path, "tight")
    return figure


def draw_importances(
    path: Path, important: Mapping[str, float], title: str, caution: str
) -> Figure:
    """Draw the share of the objective's variance that each setting explains, largest on top.

    `caution` says why not to trust the shares, which are then grey; "" if they can be trusted.
    """
    ordered = sorted(important.items(), key=lambda item: item[1])
    names, shares = zip(*ordered, strict=True)
    figure, axes = new_figure(6.4, 1.4 + 0.4 * len(names))
    bars = axes.barh(names, shares, color=GREY if caution else BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="share of the objective's variance (fANOVA)", xlim=(0, 1))
    axes.set_title(f"{title}\n{caution}".strip(), fontsize=11)
    save_figure(figure, path, "tight")
    return figure


def draw_parallel_coordinates(path: Path, study: optuna.Study, objective: str) -> Figure:
    """Draw a line for each trial through its objective and its settings, dark where it is best."""
    axes = drawn.plot_parallel_coordinate(study, target_name=objective)
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    for collection in axes.collections:
        if isinstance(collection, LineCollection):
            collection.set_cmap("viridis_r")  # Optuna's goes from white to blue
            collection.set_linewidth(2)
    axes.set_title("Settings of each trial", fontsize=11, y=1.03)
    save_figure(figure, path, "tight")
    return figure


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
    figure.suptitle(f"{len(trials)} trials; none has seen the test split", fontsize=10)
    save_figure(figure, path, "tight")


def draw_setting(axes: Axes, name: str, trials: Sequence[TrialResult]) -> None:
    """Draw the trials' objectives against one setting, and their mean at each of its values."""
    by_value: dict[Value, list[float]] = {
        value: [] for value in sorted({t.settings[name] for t in trials})
    }
    for trial in trials:
        if trial.objective is not None:
            by_value[trial.settings[name]].append(trial.objective)
    for number, objectives in enumerate(by_value.values()):
        axes.scatter([number] * len(objectives), objectives, s=14, color=GREY)
    axes.plot([fmean(objectives) for objectives in by_value.values()], marker="o", color=BLUE)
    axes.set_xticks(range(len(by_value)), [f"{value:g}" for value in by_value])
    axes.set_xlabel(name)
    axes.spines[["top", "right"]].set_visible(False)


def _in_time(trials: Sequence[TrialResult]) -> list[TrialResult]:
    return sorted(trials, key=lambda trial: trial.started)


def _name_trials(axis: Axis, trials: Sequence[TrialResult]) -> None:
    """Name the trials along an axis: every one of them, or as many as there is room for."""
    step = -(-len(trials) // MAX_NAMES)
    axis.set_ticks(range(0, len(trials), step), [trial.trial for trial in trials[::step]])
    axis.set_tick_params(labelsize=8)
