"""Pictures of the trainings at the authors' settings: Table I as bars, and AUC by share.

Each function writes its figure to a PNG and returns the figure, so that tests can inspect it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.paper.author_runs import PAPER, Run, by_case, finished_cases
from experiments.paper.authors import EPOCHS, SHARES
from experiments.paper.paper_tables import CASES
from pipeline.pages.plots import save_figure

BARS = "table1-authors.png"
LINES = "share-of-one-class.png"

WIDTH = 0.27  # of a bar; a case has 1
GREY, RED, BLUE = "0.72", "#e45756", "#4c78a8"
OURS: tuple[tuple[str, str, Callable[[Run], float]], ...] = (
    (f"ours as the 2019 code scores, best of {EPOCHS} epochs", RED, lambda run: run.as_2019),
    ("ours honest: evaluation mode, last epoch", BLUE, lambda run: run.honest),
)
LEGEND_ROWS = 16  # that fit beside the axes
MARKERS = "os^Dv"  # of the seeds of a case
COLOURS = {case: f"C{number}" for number, case in enumerate(CASES)}


def draw_table_1(path: Path, runs: Sequence[Run]) -> Figure:
    """Draw the paper's AUC of each case beside ours: the mean, lowest and highest of the seeds."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(CASES))
    axes.bar(places - WIDTH, list(PAPER.values()), WIDTH, color=GREY, label="the paper's Table I")
    cases = finished_cases(runs)
    for number, (label, colour, figure_of) in enumerate(OURS):
        values = {case: [figure_of(run) for run in of_case] for case, of_case in cases.items()}
        _draw_bars(axes, values, number * WIDTH, colour, label)
    begun = by_case(runs)
    for place, case in enumerate(CASES):
        if case not in cases:
            text = "unfinished" if case in begun else "not run"
            axes.text(place + WIDTH / 2, 0.02, text, rotation=90, ha="center", va="bottom")
    _draw_chance(axes)
    axes.set(xticks=places, xticklabels=CASES, ylim=(0, 1.02), ylabel="AUC of the test images")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)
    return figure


def _draw_bars(
    axes: Axes, values: Mapping[str, Sequence[float]], shift: float, colour: str, label: str
) -> None:
    means = [fmean(of_case) for of_case in values.values()]
    ends = [
        [mean - min(of_case), max(of_case) - mean]
        for mean, of_case in zip(means, values.values(), strict=True)
    ]
    axes.bar(
        [CASES.index(case) + shift for case in values],
        means,
        WIDTH,
        yerr=np.array(ends).reshape(-1, 2).T,
        color=colour,
        ecolor="0.25",
        label=label,
    )


def _draw_chance(axes: Axes) -> None:
    axes.axhline(0.5, color="black", linestyle=":", linewidth=1.2, zorder=0)


def draw_shares(path: Path, runs: Sequence[Run]) -> Figure:
    """Draw the AUC of each finished training against the share of one class in a batch."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    cases = finished_cases(runs)
    for case, of_case in cases.items():
        for marker, run in zip(cycle(MARKERS), of_case, strict=False):
            values = [run.shares[share] for share in SHARES]
            axes.plot(SHARES, values, marker=marker, markersize=5, color=COLOURS[case])
    _draw_chance(axes)
    axes.set(
        xlabel="share of one class in a batch",
        ylabel=f"AUC after epoch {EPOCHS}",
        xticks=SHARES,
        xticklabels=[f"{share:g}" for share in SHARES],
        ylim=(0, 1.02),
    )
    axes.spines[["top", "right"]].set_visible(False)
    handles = _legend(cases)
    figure.legend(
        handles=handles,
        loc="outside right center",
        ncols=1 + len(handles) // LEGEND_ROWS,
        frameon=False,
    )
    save_figure(figure, path)
    return figure


def _legend(cases: Mapping[str, Sequence[Run]]) -> list[Line2D]:
    """Return an entry for each training, and one for chance."""
    chance = Line2D([], [], color="black", linestyle=":", label="chance, .5")
    lines = [
        Line2D([], [], color=COLOURS[case], marker=marker, label=f"{case}, seed {run.seed}")
        for case, of_case in cases.items()
        for marker, run in zip(cycle(MARKERS), of_case, strict=False)
    ]
    return [*lines, chance]
