"""The figures: ROC curves, Figures 5 to 7 of the paper, and whole scans under their heat map.

Each function writes its figure to a PNG and returns the figure, so that tests can inspect it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from pipeline.common.names import NORMAL, Image, Patches
from pipeline.evaluation.auc_table import AucTable
from pipeline.evaluation.curves import histogram, roc
from pipeline.evaluation.scores import ANOMALY, OVERALL, WindowScores
from pipeline.pages.pictures import CLEAR, FULL, OUTLINE, heat_colours
from pipeline.pages.plots import new_figure, save_figure
from pipeline.scans.display import displayable

Colours = Mapping[str, str]  # of normal and abnormal patches, in any form that matplotlib accepts


@dataclass(frozen=True)
class Exemplars:
    """Patches for Figure 7.

    Attributes:
        patches: (N, S, S, C) uint8, C from 1 to 3.
        reconstructions: of the same shape; None if the method reconstructs nothing.
        titles: N, the class and score of each patch.
        caption: by which rule the patches were chosen.
        around: (N, 3S, 3S, C) uint8, the scan around each patch, which is its middle; None if each
            patch is a whole scan.
        threats: (N, 3S, 3S) True on the threats in `around`; None with it.
    """

    patches: Patches
    reconstructions: Patches | None
    titles: Sequence[str]
    caption: str
    around: Patches | None = None
    threats: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class ShownScan:
    """A whole scan as people see it.

    Attributes:
        title: the classes and the id of the scan, and its share of windows over the threshold.
        image: (H, W, 3) RGB uint8.
        heat_overlay: (H, W, 3) RGB uint8, in grey with its heat over it.
        threats: (H, W) True on the threats.
    """

    title: str
    image: Image
    heat_overlay: Image
    threats: NDArray[np.bool_]


def draw_roc(path: Path, test: WindowScores, table: AucTable, threshold: float) -> Figure:
    """Draw the ROC curve of the anomaly score for each class, with a dot at the threshold."""
    figure, axes = new_figure(5.2, 5.0)
    scores = test.scores[ANOMALY]
    false_alarms = float((scores[test.normal] > threshold).mean())
    for name, estimate in table[ANOMALY].items():
        if estimate.auc is None:
            continue
        abnormal = scores[test.abnormal(name)]
        width = 2.4 if name == OVERALL else 1.4
        label = _plain(f"{name.replace('_', ' ')}  {estimate.auc:.3f}")
        (line,) = axes.plot(*roc(scores[test.normal], abnormal), linewidth=width, label=label)
        detected = float((abnormal > threshold).mean())
        axes.plot(false_alarms, detected, "o", color=line.get_color(), clip_on=False, zorder=3)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1, label="chance  0.500")
    axes.plot([], [], "o", color="0.3", label=f"stored threshold: {false_alarms:.1%} false alarms")
    axes.set(
        xlabel="false positive rate: share of the normal windows over a threshold",
        ylabel="true positive rate: share of the class's windows over it",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.set_title("ROC by window, AUC in the legend", fontsize=11)
    below_chance = (table[ANOMALY][OVERALL].auc or 0.0) < 0.5
    axes.legend(loc="upper left" if below_chance else "lower right", frameon=False)
    save_figure(figure, path)
    return figure


def draw_histogram(path: Path, test: WindowScores, threshold: float, colours: Colours) -> Figure:
    """Draw Figure 5: histogram of the scaled anomaly scores of the test patches."""
    figure, axes = new_figure(6.0, 3.8)
    edges, densities = histogram(test)
    for kind, density in densities.items():
        axes.stairs(density, edges, fill=True, alpha=0.6, color=colours[kind], label=kind)
    axes.axvline(threshold, color="0.2", linewidth=1, linestyle="--", label="stored threshold")
    axes.set(xlabel="anomaly score, scaled (Eq. 6)", ylabel="density")
    axes.set_title("Anomaly scores of the test windows", fontsize=11)
    axes.legend(frameon=False)
    save_figure(figure, path)
    return figure


def draw_tsne(
    path: Path,
    features: NDArray[np.float32],
    normal: NDArray[np.bool_],
    colours: Colours,
    seed: int,
) -> Figure:
    """Draw Figure 6: t-SNE of the method's features, (N, d), of some test patches.

    Two of them must differ: equal features have no distances.
    """
    perplexity = min(30.0, (len(features) - 1) / 3)
    init = "pca" if features.shape[1] > 1 else "random"
    points = TSNE(perplexity=perplexity, random_state=seed, init=init).fit_transform(features)
    figure, axes = new_figure(5.2, 5.0)
    for kind, mask in ((NORMAL, normal), ("abnormal", ~normal)):
        if mask.any():
            x, y = points[mask].T
            axes.scatter(x, y, s=7, color=colours[kind], alpha=0.7, linewidths=0, label=kind)
    axes.set_axis_off()
    axes.set_title(f"t-SNE of the features, {len(features)} test windows", fontsize=11)
    axes.legend(frameon=False, markerscale=2)
    save_figure(figure, path)
    return figure


def draw_exemplars(path: Path, exemplars: Exemplars) -> Figure:
    """Draw Figure 7: input, reconstruction and residual, a column per patch.

    Without a reconstruction, the input alone.
    Where the patches are windows of scans, the scan around each is drawn above, with a box around
    the window, and the threats are outlined.
    """
    columns, side = exemplars.patches.shape[:2]
    x_hat = exemplars.reconstructions
    names = ["in the scan"] * (exemplars.around is not None) + ["input"]
    names += ["reconstruction", "residual"] * (x_hat is not None)
    figure = Figure(figsize=(1.3 * columns + 0.9, 1.4 * len(names) + 0.8), layout="constrained")
    grid = figure.subplots(len(names), columns, squeeze=False)
    rows = dict(zip(names, grid, strict=True))
    for column in range(columns):
        rows["input"][column].imshow(displayable(exemplars.patches[column]))
        grid[0, column].set_title(_title(exemplars.titles[column], 17), fontsize=8)
    if x_hat is not None:
        residual = np.abs(exemplars.patches.astype(np.int16) - x_hat).mean(axis=3)
        ceiling = float(np.percentile(residual, 99.5)) or 1.0
        for column in range(columns):
            rows["reconstruction"][column].imshow(displayable(x_hat[column]))
            axes = rows["residual"][column]
            shown = axes.imshow(residual[column], cmap="magma", vmin=0, vmax=ceiling)
        figure.colorbar(shown, ax=rows["residual"].tolist(), label="of 255")
    if exemplars.around is not None and exemplars.threats is not None:
        middle = slice(side, 2 * side)
        for column, threats in enumerate(exemplars.threats):
            scan = rows["in the scan"][column]
            scan.imshow(displayable(exemplars.around[column]))
            box = Rectangle((side - 0.5, side - 0.5), side, side, fill=False, linestyle="--")
            scan.add_patch(box)
            _outline(scan, threats)
            for axes in grid[1:, column]:
                _outline(axes, threats[middle, middle])
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for name, row in rows.items():
        row[0].set_ylabel(name, fontsize=9)
    _caption(figure, exemplars.caption)
    save_figure(figure, path)
    return figure


def draw_scans(path: Path, scans: Sequence[ShownScan], caption: str) -> Figure:
    """Draw whole scans, and each scan once more below, under its heat; threats are outlined."""
    columns = len(scans)
    figure = Figure(figsize=(3.6 * columns + 0.8, 6.0), layout="constrained")
    grid = figure.subplots(2, columns, squeeze=False)
    for column, scan in enumerate(scans):
        grid[0, column].set_title(_title(scan.title, 45), fontsize=10)
        # Each scan is right above its heat.
        for axes, pixels, side in zip(
            grid[:, column], (scan.image, scan.heat_overlay), "SN", strict=True
        ):
            axes.imshow(pixels)
            axes.set_anchor(side)
            _outline(axes, scan.threats)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    heat = ScalarMappable(Normalize(CLEAR, FULL), ListedColormap(heat_colours() / 255))
    powers = range(int(CLEAR), int(FULL) + 1)
    legend = figure.colorbar(heat, ax=grid.ravel().tolist(), shrink=0.6, ticks=powers)
    legend.ax.set_yticklabels([f"1 of {10**power:,}" for power in powers])
    legend.set_label("normal windows that score as high")
    _caption(figure, caption)
    save_figure(figure, path)
    return figure


def _caption(figure: Figure, caption: str) -> None:
    """Write a caption above all axes, in lines that fit the figure's width."""
    figure.suptitle(fill(caption, int(13 * figure.get_figwidth())), fontsize=9)


def _outline(axes: Axes, threats: NDArray[np.bool_]) -> None:
    """Outline threats, bright on dark, so that the line is seen on every ground."""
    if threats.any():
        for colour, width in (((0, 0, 0), 2.6), (OUTLINE, 1.3)):
            axes.contour(threats, levels=[0.5], colors=[np.array(colour) / 255], linewidths=width)


def _title(title: str, width: int) -> str:
    """Return a title whose lines have at most `width` characters, so that neighbours stay apart."""
    return _plain("\n".join(fill(line, width) for line in title.split("\n")))


def _plain(name: str) -> str:
    """Return a text with names from outside, of which matplotlib would take $ for mathematics."""
    return name.replace("$", r"\$")
