"""Figure 4: Table I as bars, the paper's next to ours; figures with leaked labels are marked."""

from itertools import zip_longest
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.paper.paper_tables import CASES, TABLE_1
from experiments.paper.protocols import HONEST, REFERENCE, REFERENCE_SHUFFLED, Protocol
from experiments.paper.sections import Rows, Section
from pipeline.evaluation.scores import ANOMALY, OVERALL, PCA
from pipeline.pages.plots import save_figure

COLUMNS = 2  # at most
WIDTH = 0.2  # of a bar; a case has 1
PAPER = "0.75"
COLOURS: dict[Protocol, str] = {
    HONEST: "#4c78a8",
    REFERENCE_SHUFFLED: "#f5b7b5",
    REFERENCE: "#e45756",
}
PLACES = np.arange(len(CASES))


def draw_figure_4(path: Path, section: Section) -> None:
    """Draw a panel for each method: mean, lowest and highest over the seeds.

    Args:
        path: of the PNG file.
        section: of Table I.
    """
    columns = min(COLUMNS, len(section.trained))
    rows = -(-len(section.trained) // columns)
    figure = Figure(figsize=(6.5 * columns, 4 * rows + 0.5), layout="constrained")
    figure.suptitle(f"{section.title}\n{section.settings}", fontsize=9)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel().tolist()
    for axes, of_method in zip_longest(panels, section.trained):
        if of_method is None:
            axes.set_axis_off()
        else:
            _draw_panel(axes, of_method, section.lines)
    figure.legend(
        handles=_legend(), loc="outside lower center", ncols=5 if columns > 1 else 3, frameon=False
    )
    save_figure(figure, path)


def _draw_panel(axes: Axes, rows: Rows, lines: Rows) -> None:
    axes.bar(PLACES - 1.5 * WIDTH, TABLE_1[rows.method], WIDTH, color=PAPER)
    axes.axhline(0.5, color="0.4", linewidth=0.8)
    axes.set(xticks=PLACES, xticklabels=CASES, ylim=(0, 1), ylabel="AUC", title=rows.method)
    axes.spines[["top", "right"]].set_visible(False)
    _draw_bars(axes, rows)
    _draw_components(axes, lines)


def _draw_bars(axes: Axes, rows: Rows) -> None:
    for number, (protocol, colour) in enumerate(COLOURS.items()):
        for place, case in enumerate(CASES):
            values = _figures(rows, case, protocol, ANOMALY)
            if values:
                mean = float(np.mean(values))
                ends = [[mean - min(values)], [max(values) - mean]]
                left = place + (number - 0.5) * WIDTH
                axes.bar(left, mean, WIDTH, yerr=ends, color=colour, ecolor="0.25")


def _draw_components(axes: Axes, lines: Rows) -> None:
    for place, case in enumerate(CASES):
        values = _figures(lines, case, HONEST, PCA)
        axes.hlines(values, place - 0.45, place + 0.45, colors="0.1", linestyles=":")


def _figures(rows: Rows, case: str, protocol: Protocol, score: str) -> list[float]:
    found = (r.figure(protocol, score, OVERALL) for r in rows.of(case, protocol).values())
    return [value for value in found if value is not None]


def _legend() -> list[Patch | Line2D]:
    return [
        Patch(color=PAPER, label="the paper"),
        *(
            Patch(color=colour, label=name if name == HONEST else f"{name}, labels leak")
            for name, colour in COLOURS.items()
        ),
        Line2D([], [], color="0.1", linestyle=":", label="pca, no model"),
    ]
