"""The figures: ROC curves, Figures 5 to 7 of the paper, and whole scans under their heat map.

Each function writes its figure to a PNG and returns the figure, so that tests can inspect it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from pipeline.common.names import Patches
from pipeline.evaluation.evaluate import ANOMALY, OVERALL, AucTable, TestScores, roc

DPI = 110


@dataclass(frozen=True)
class Colours:
    """The colours of normal and abnormal patches, in any form that matplotlib accepts."""

    normal: str
    abnormal: str


@dataclass(frozen=True)
class Exemplars:
    """Patches for Figure 7.

    Attributes:
        patches, reconstructions: (N, H, W, C) uint8, C from 1 to 3.
        titles: N, the class and score of each patch.
    """

    patches: Patches
    reconstructions: Patches
    titles: Sequence[str]


@dataclass(frozen=True)
class ScoredScan:
    """A whole scan with its heat map and its threats.

    Attributes:
        title: the classes and the id of the scan.
        image: (H, W, C) uint8, C from 1 to 3.
        heat: (H, W) anomaly scores divided by the stored threshold, NaN where no score is.
        threats: (H, W) True on the threats.
    """

    title: str
    image: NDArray[np.uint8]
    heat: NDArray[np.float32]
    threats: NDArray[np.bool_]


def displayable(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert (..., C) to (..., 3) RGB: grey is repeated; low and high energy become red and blue.

    So metal, which stops the low energy and lets the high energy through, is blue there too.
    """
    if image.shape[-1] == 2:
        low, high = image[..., 0], image[..., 1]
        middle = (low.astype(np.uint16) + high) // 2
        return np.stack([low, middle.astype(np.uint8), high], axis=-1)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def draw_roc(path: Path, test: TestScores, table: AucTable) -> Figure:
    """Draw the ROC curve of the anomaly score for each class."""
    figure, axes = _figure(5.2, 5.0)
    scores = test.scores[ANOMALY]
    for name, estimate in table[ANOMALY].items():
        if estimate.auc is None:
            continue
        curve = roc(scores[test.normal], scores[test.abnormal(name)])
        width = 2.4 if name == OVERALL else 1.4
        axes.plot(*curve, linewidth=width, label=f"{name.replace('_', ' ')}  {estimate.auc:.3f}")
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("ROC by window, AUC in the legend", fontsize=11)
    axes.legend(loc="lower right", frameon=False)
    save_figure(figure, path)
    return figure


def draw_histogram(path: Path, test: TestScores, threshold: float, colours: Colours) -> Figure:
    """Draw Figure 5: histogram of the scaled anomaly scores of the test patches."""
    figure, axes = _figure(6.0, 3.8)
    scores = test.scores[ANOMALY]
    low, high = np.percentile(scores, [0.1, 99.9])
    bins = np.linspace(low, high, 60)
    kinds = (("normal", test.normal, colours.normal), ("abnormal", ~test.normal, colours.abnormal))
    for name, mask, colour in kinds:
        if mask.any():
            axes.hist(
                scores[mask], bins.tolist(), density=True, alpha=0.6, color=colour, label=name
            )
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
    """Draw Figure 6: t-SNE of f(x), (N, d), of some normal and abnormal test patches."""
    perplexity = min(30.0, (len(features) - 1) / 3)
    points = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(features)
    figure, axes = _figure(5.2, 5.0)
    for name, mask, colour in (
        ("normal", normal, colours.normal),
        ("abnormal", ~normal, colours.abnormal),
    ):
        if mask.any():
            x, y = points[mask].T
            axes.scatter(x, y, s=7, color=colour, alpha=0.7, linewidths=0, label=name)
    axes.set_axis_off()
    axes.set_title(f"t-SNE of f(x), {len(features)} test windows", fontsize=11)
    axes.legend(frameon=False, markerscale=2)
    save_figure(figure, path)
    return figure


def draw_exemplars(path: Path, exemplars: Exemplars) -> Figure:
    """Draw Figure 7: input, reconstruction and residual, a column per patch."""
    columns = len(exemplars.patches)
    figure = Figure(figsize=(1.15 * columns + 0.7, 4.1), layout="constrained")
    grid = np.atleast_2d(figure.subplots(3, columns, squeeze=False))
    residual = np.abs(exemplars.patches.astype(np.int16) - exemplars.reconstructions).mean(axis=3)
    ceiling = float(np.percentile(residual, 99.5)) or 1.0
    for column in range(columns):
        grid[0, column].imshow(displayable(exemplars.patches[column]))
        grid[1, column].imshow(displayable(exemplars.reconstructions[column]))
        grid[2, column].imshow(residual[column], cmap="magma", vmin=0, vmax=ceiling)
        grid[0, column].set_title(exemplars.titles[column], fontsize=8)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for row, name in enumerate(("input", "reconstruction", "residual")):
        grid[row, 0].set_ylabel(name, fontsize=9)
    save_figure(figure, path)
    return figure


def draw_scans(path: Path, scans: Sequence[ScoredScan]) -> Figure:
    """Draw whole scans, and below each scan its grey image with heat map and threat outlines."""
    columns = len(scans)
    figure = Figure(figsize=(3.6 * columns, 5.6), layout="constrained")
    grid = figure.subplots(2, columns, squeeze=False)
    for column, scan in enumerate(scans):
        grid[0, column].imshow(displayable(scan.image))
        grid[0, column].set_title(scan.title, fontsize=10)
        grid[1, column].imshow(scan.image.mean(axis=2), cmap="gray", vmin=0, vmax=255)
        _overlay(grid[1, column], scan)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    save_figure(figure, path)
    return figure


def _overlay(axes: Axes, scan: ScoredScan) -> None:
    """Draw heat over a grey scan: clear far below the threshold, strongest from there on."""
    strength = np.clip(np.nan_to_num(scan.heat), 0, 1) ** 2
    axes.imshow(strength, cmap="YlOrRd", vmin=0, vmax=1, alpha=0.8 * strength)
    if scan.threats.any():
        axes.contour(scan.threats, levels=[0.5], colors=["#00d0ff"], linewidths=1.2)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # No software version or date in the file, so that the same figure gives the same bytes.
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
