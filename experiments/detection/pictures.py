"""Draws windows in which `best` finds a threat, or misses one, with their evidence (README.md).

    dvc repro extract
    python -m experiments.detection.pictures

*Found*: in three bags of the test, drawn at random of those where a window on the threat has the
highest score. *Missed*: in the three bags where most normal windows score higher than any window on
the threat; below is the window with the highest score of the same bag. `best` trains nothing, so
scans and patches are all that this needs.
"""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from experiments.run import run_main
from pipeline.common.names import NORMAL, TEST, TRAIN, Scores
from pipeline.evaluation.scores import detector_without_networks
from pipeline.models.attenuation import MAPS
from pipeline.models.detector import Detector
from pipeline.models.methods.granulometry.method import SHAPE, GranulometryScorer
from pipeline.models.methods.granulometry.openings import RADII, STATISTICS
from pipeline.pages.plots import save_figure
from pipeline.patches.store import PatchStore, read_rows
from pipeline.scans.catalogue import read_catalogue
from pipeline.scans.display import displayable
from pipeline.scans.sources.registry import open_source
from pipeline.settings.params import load_settings
from stages.entry import PATCHES, SCANS

PICTURE = Path(__file__).parent / "found-and-missed.png"
COUNT = 3  # bags of each kind
SEED = 0
LINE = 46  # characters of a title
COLOURS = {"metal": "#1f5fa8", "dense": "#c0561f"}
STYLES = {"mean": "-", "max": ":"}


@dataclass(frozen=True)
class TitledWindow:
    """One window of a bag.

    Attributes:
        row: of the window in the store.
        title: about the window.
    """

    row: int
    title: str


def pick(
    labels: NDArray[np.str_], scan_ids: NDArray[np.str_], scores: Scores, count: int, seed: int
) -> list[list[TitledWindow]]:
    """Return `count` windows that are found, as many that are missed, and the highest there.

    Args:
        labels: (N,) of the windows.
        scan_ids: (N,) of the windows.
        scores: (N,), a higher score is more abnormal.
        count: how many bags of each kind.
        seed: of the draw of the bags in which a threat is found.
    """
    normal = labels == NORMAL
    best: dict[str, int] = {}  # by bag, the window on a threat with the highest score
    above: dict[str, int] = {}  # by bag, how many normal windows score higher
    highest: dict[str, int] = {}  # by bag, the window with the highest score
    for bag in np.unique(scan_ids[~normal]).tolist():
        rows = np.flatnonzero(scan_ids == bag)
        threats, others = rows[~normal[rows]], rows[normal[rows]]
        best[bag] = int(threats[scores[threats].argmax()])
        above[bag] = int((scores[others] > scores[best[bag]]).sum())
        highest[bag] = int(rows[scores[rows].argmax()])
    easy = [bag for bag, number in above.items() if number == 0]
    found = sorted(np.random.default_rng(seed).permutation(easy)[:count].tolist())
    missed = sorted(above, key=lambda bag: (-above[bag], bag))[:count]

    def named(bag: str) -> str:
        return str(labels[best[bag]]).replace("_", " ")

    return [
        [TitledWindow(best[bag], f"found: {named(bag)}") for bag in found],
        [
            TitledWindow(best[bag], f"missed: {named(bag)}\n{above[bag]} normal windows are higher")
            for bag in missed
        ],
        [TitledWindow(highest[bag], "the highest in the same bag") for bag in missed],
    ]


def surroundings(store: PatchStore, row: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the scan around a window, (3S, 3S, C), and where a threat is; outside it is white."""
    catalogue = {found.scan_id: found for found in read_catalogue(SCANS)}
    source = open_source(load_settings().scans, SCANS)
    scan = source.read(catalogue[str(store.scan_ids[row])].entry())
    (top, left), side = store.origins[row], store.side
    edges = ((side, side), (side, side))
    part = np.s_[top : top + 3 * side, left : left + 3 * side]
    image = np.pad(scan.image, (*edges, (0, 0)), constant_values=255)
    return image[part], np.pad(scan.threats(), edges)[part]


def draw(
    path: Path, store: PatchStore, detector: Detector, windows: list[list[TitledWindow]]
) -> None:
    """Draw each window in its scan, and beside it the p-value of every term."""
    columns = len(windows[0])
    size = (5.2 * columns, 3.0 * len(windows) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(windows), 2 * columns, squeeze=False)
    for axes, row in zip(grid, windows, strict=True):
        for column, window in enumerate(row):
            draw_window(axes[2 * column], store, detector, window)
            draw_evidence(axes[2 * column + 1], store, detector, window)
    handles, labels = grid[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    save_figure(figure, path)


def draw_window(axes: Axes, store: PatchStore, detector: Detector, window: TitledWindow) -> None:
    """Draw the scan around a window, with the threat's outline and the explanation."""
    image, threat = surroundings(store, window.row)
    axes.imshow(displayable(image))
    side = store.side
    axes.add_patch(Rectangle((side, side), side, side, fill=False, linestyle="--"))
    if threat.any():
        axes.contour(threat, levels=[0.5], colors=["black"], linewidths=2.6)
        axes.contour(threat, levels=[0.5], colors=["cyan"], linewidths=1.3)
    axes.set(xticks=[], yticks=[])
    axes.set_title(window.title, fontsize=8, loc="left")
    (because,) = detector.explain(read_rows(store, np.array([window.row])))
    axes.set_xlabel(fill(because, LINE), fontsize=8, loc="left")


def draw_evidence(axes: Axes, store: PatchStore, detector: Detector, window: TitledWindow) -> None:
    """Draw the p-value of each term by the radius of its opening."""
    scorer = detector.scorer
    if not isinstance(scorer, GranulometryScorer):
        raise TypeError(f"{type(scorer).__name__}, expected the method granulometry")
    p_values = scorer.p_values(detector.features(read_rows(store, np.array([window.row]))))
    for name, by_map in zip(MAPS, p_values.reshape(SHAPE), strict=True):
        for statistic, by_radius in zip(STATISTICS, by_map, strict=True):
            style, label = STYLES[statistic], f"{name}, {statistic}"
            axes.plot(RADII, by_radius, style, color=COLOURS[name], label=label, marker=".")
    axes.set(yscale="log", ylim=(1.3, 1e-4), xticks=RADII)
    axes.set_xlabel("radius of the opening, pixels", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.set_title("p-value among training normals", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Draw the picture."""
    store, normals = PatchStore(PATCHES, TEST), PatchStore(PATCHES, TRAIN)
    detector = detector_without_networks(normals)
    scores = detector.score(store.blocks()).anomaly
    windows = pick(store.labels, store.scan_ids, scores, COUNT, SEED)
    draw(PICTURE, store, detector, windows)
    print(PICTURE)


if __name__ == "__main__":
    run_main(main)
