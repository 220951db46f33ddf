"""What the figures show, read from what is drawn."""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text
from sklearn.manifold import TSNE

from pipeline.evaluation.auc_table import auc_table
from pipeline.evaluation.figures import (
    Exemplars,
    ShownScan,
    draw_exemplars,
    draw_histogram,
    draw_roc,
    draw_scans,
    draw_tsne,
)
from pipeline.evaluation.scores import ANOMALY, WindowScores
from pipeline.pages.plots import save_figure
from pipeline.scans.display import displayable

pytestmark = pytest.mark.slow  # drawing takes most of their time

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(0, 256, (5, 6, 3), dtype=np.uint8)
COLOURS = {"normal": "C2", "abnormal": "C3"}


def shifted_scores() -> WindowScores:
    """Knives score a little higher than normal windows, and guns much higher."""
    labels = np.repeat(["normal", "pocket_knife", "gun"], [60, 30, 20])
    shifts = np.repeat([0.0, 0.5, 2.0], [60, 30, 20])
    scores = np.random.default_rng(1).normal(size=110) + shifts
    return WindowScores(labels, np.arange(110).astype(str), {ANOMALY: scores})


def shown(axes: Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def text(shown: Text) -> tuple[str, float | str]:
    return shown.get_text(), shown.get_fontsize()


def size(figure: Figure) -> list[float]:
    """Width and height in inches."""
    return cast(list[float], figure.get_size_inches().tolist())


def require_plain(axes: Axes, *legend: str, title: str) -> None:
    """Refuse other words, and a frame at the top, at the right or around the legend."""
    assert text(axes.title) == (title, 11)
    assert {name for name, line in axes.spines.items() if line.get_visible()} == {"left", "bottom"}
    found = axes.get_legend()
    assert found is not None
    assert [one.get_text() for one in found.get_texts()] == list(legend)
    assert not found.get_frame_on()


def require_no_ticks(figure: Figure, every: Sequence[Axes]) -> None:
    assert isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)
    for axes in every:
        assert (len(axes.get_xticks()), len(axes.get_yticks())) == (0, 0)


def test_colour_is_shown_as_it_is_and_grey_as_grey() -> None:
    np.testing.assert_array_equal(displayable(IMAGE), IMAGE)
    np.testing.assert_array_equal(displayable(IMAGE[..., :1]), IMAGE[..., [0, 0, 0]])


def test_what_stops_only_the_low_energy_is_shown_blue() -> None:
    shown = displayable(IMAGE[..., :2])
    np.testing.assert_array_equal(shown[..., [0, 2]], IMAGE[..., :2])
    assert (shown.max(axis=2) == IMAGE[..., :2].max(axis=2)).all()
    both = np.array([[[40, 200], [140, 250]]], np.uint8)
    assert displayable(both).tolist() == [[[40, 120, 200], [140, 195, 250]]]


def test_a_roc_curve_has_the_area_that_its_legend_says(tmp_path: Path) -> None:
    test = shifted_scores()
    table = auc_table(test, ("pocket_knife", "absent", "gun"), resamples=2, seed=0)
    figure = draw_roc(tmp_path / "roc.png", test, table, threshold=0.75)
    (axes,) = figure.axes
    *drawn, chance, _ = axes.lines
    curves, points = drawn[::2], drawn[1::2]
    names = {"pocket_knife": "pocket knife", "gun": "gun", "overall": "overall"}
    aucs = [table[ANOMALY][name].auc for name in names]
    for curve, auc in zip(curves, aucs, strict=True):
        x, y = (np.asarray(values, dtype=float) for values in curve.get_data())
        assert np.trapezoid(y, x) == pytest.approx(auc)
    alarms = test.scores[ANOMALY] > 0.75
    for name, curve, point in zip(names, curves, points, strict=True):
        rates = [alarms[test.normal].mean(), alarms[test.abnormal(name)].mean()]
        assert np.asarray(point.get_xydata()).tolist() == [rates]
        x, y = np.asarray(curve.get_xydata()).T
        assert np.interp(rates[0] - 1e-9, x, y) <= rates[1] <= np.interp(rates[0] + 1e-9, x, y)
        assert (point.get_color(), point.get_marker()) == (curve.get_color(), "o")
    false_alarms = f"stored threshold: {alarms[test.normal].mean():.1%} false alarms"
    legend = [f"{shown}  {auc:.3f}" for shown, auc in zip(names.values(), aucs, strict=True)]
    legend += ["chance  0.500", false_alarms]
    require_plain(axes, *legend, title="ROC by window, AUC in the legend")
    assert axes.get_xlabel().startswith("false positive rate: ")
    assert axes.get_ylabel().startswith("true positive rate: ")
    assert (axes.get_xlim(), axes.get_ylim(), size(figure)) == ((0, 1), (0, 1), [5.2, 5])
    # The curve of all classes is the widest, and that of chance is dotted.
    assert [line.get_linewidth() for line in (*curves, chance)] == [1.4, 1.4, 2.4, 1]
    assert np.array(chance.get_data()).tolist() == [[0, 1], [0, 1]]
    assert (chance.get_color(), chance.get_linestyle()) == ("0.6", ":")


def test_the_histogram_has_abnormal_scores_to_the_right_and_the_threshold(tmp_path: Path) -> None:
    test = shifted_scores()
    figure = draw_histogram(tmp_path / "histogram.png", test, 0.75, COLOURS)
    (axes,) = figure.axes
    bars = [cast(StepPatch, bar) for bar in axes.patches]
    assert len(bars) == 2
    low, high = np.percentile(test.scores[ANOMALY], [0.1, 99.9])
    for bar, colour, mask in zip(bars, COLOURS.values(), (test.normal, ~test.normal), strict=True):
        density, edges, base = bar.get_data()
        assert (bar.get_facecolor(), bar.get_fill(), base) == (to_rgba(colour, 0.6), True, 0)
        np.testing.assert_allclose(edges, np.linspace(low, high, 51))
        scores = test.scores[ANOMALY][mask]
        counts = [np.sum((scores >= left) & (scores < right)) for left, right in pairwise(edges)]
        counts[0] += np.sum(scores < low)
        counts[-1] += np.sum(scores >= high)
        np.testing.assert_allclose(density, counts / np.diff(edges) / len(scores))
    threshold = axes.lines[0]
    assert np.asarray(threshold.get_xdata()).tolist() == [0.75, 0.75]
    assert (threshold.get_color(), threshold.get_linestyle()) == ("0.2", "--")
    assert threshold.get_linewidth() == 1
    legend = ("normal", "abnormal", "stored threshold")
    require_plain(axes, *legend, title="Anomaly scores of the test windows")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("anomaly score, scaled (Eq. 6)", "density")
    assert size(figure) == [6, 3.8]


def test_t_sne_of_one_feature_is_drawn(tmp_path: Path) -> None:
    features = np.arange(8, dtype=np.float32)[:, None]
    figure = draw_tsne(tmp_path / "tsne.png", features, features[:, 0] > 3, COLOURS, seed=0)
    assert [len(np.asarray(c.get_offsets())) for c in figure.axes[0].collections] == [4, 4]


def test_t_sne_shows_each_kind_in_its_colour(tmp_path: Path) -> None:
    """Two kinds far from each other stay apart."""
    normal = np.arange(40) % 4 > 0
    features = GENERATOR.normal(size=(40, 5)).astype(np.float32) + 100 * normal[:, None]
    figure = draw_tsne(tmp_path / "tsne.png", features, normal, COLOURS, seed=0)
    of_normal, of_abnormal = (cast(PathCollection, points) for points in figure.axes[0].collections)
    places = [np.asarray(points.get_offsets()) for points in (of_normal, of_abnormal)]
    assert [len(each) for each in places] == [30, 10]
    assert to_rgba(COLOURS["normal"], 0.7) == tuple(np.ravel(of_normal.get_facecolor()))
    assert to_rgba(COLOURS["abnormal"], 0.7) == tuple(np.ravel(of_abnormal.get_facecolor()))
    across = np.linalg.norm(places[0][:, None] - places[1], axis=2)
    within = np.linalg.norm(places[1][:, None] - places[1], axis=2)
    assert across.min() > within.max()
    (axes,) = figure.axes
    require_plain(axes, "normal", "abnormal", title="t-SNE of the features, 40 test windows")
    assert not axes.axison
    assert size(figure) == [5.2, 5]
    assert of_normal.get_sizes().tolist() == of_abnormal.get_sizes().tolist() == [7]
    legend = axes.get_legend()
    assert legend is not None
    assert legend.markerscale == 2
    assert not np.any(of_normal.get_linewidth())


def test_t_sne_has_a_third_of_the_patches_for_its_perplexity(tmp_path: Path) -> None:
    features = GENERATOR.normal(size=(13, 3)).astype(np.float32)
    normal = np.arange(13) < 8
    figure = draw_tsne(tmp_path / "tsne.png", features, normal, COLOURS, seed=5)
    found = np.concatenate([points.get_offsets() for points in figure.axes[0].collections])
    expected = TSNE(perplexity=4, random_state=5, init="pca").fit_transform(features)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def exemplars_of(patches: np.ndarray, reconstructions: np.ndarray) -> Exemplars:
    """Exemplars whose threat covers the left half of each patch, and the scan left of the patch."""
    count, side, _, channels = patches.shape
    around = GENERATOR.integers(0, 256, (count, 3 * side, 3 * side, channels), dtype=np.uint8)
    threats = np.zeros(around.shape[:3], dtype=np.bool_)
    threats[:, :, : side + side // 2] = True
    titles = [str(number) for number in range(count)]
    return Exemplars(patches, reconstructions, titles, "by a rule", around, threats)


def test_exemplars_are_shown_over_their_reconstruction_and_what_differs(tmp_path: Path) -> None:
    patches, reconstructions = GENERATOR.integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    exemplars = exemplars_of(patches, reconstructions)
    figure = draw_exemplars(tmp_path / "exemplars.png", exemplars)
    *axes, legend = figure.axes
    require_no_ticks(figure, axes)
    assert size(figure) == pytest.approx([3 * 1.3 + 0.9, 4 * 1.4 + 0.8])
    assert figure.get_suptitle() == "by a rule"
    assert legend.get_ylabel() == "of 255"
    assert exemplars.around is not None
    for column, (x, x_hat) in enumerate(zip(patches, reconstructions, strict=True)):
        scan, above, below, residual = axes[column::3]
        np.testing.assert_array_equal(shown(scan), exemplars.around[column])
        np.testing.assert_array_equal(shown(above), x)
        np.testing.assert_array_equal(shown(below), x_hat)
        slow = [
            sum(abs(int(a) - int(b)) for a, b in zip(pixel, other, strict=True)) / 3
            for pixel, other in zip(x.reshape(-1, 3), x_hat.reshape(-1, 3), strict=True)
        ]
        np.testing.assert_allclose(shown(residual).ravel(), slow)
        assert text(scan.title) == (exemplars.titles[column], 8)
        assert residual.images[0].get_cmap().name == "magma"
        (box,) = scan.patches
        assert isinstance(box, Rectangle)
        assert (box.get_xy(), box.get_width(), box.get_height()) == ((15.5, 15.5), 16, 16)
        assert outline_of(scan)[:, 0].max() == 16 + 7.5
        for small in (above, below, residual):
            assert outline_of(small)[:, 0].tolist() == [7.5] * len(outline_of(small))
    labels = [("in the scan", 9), ("input", 9), ("reconstruction", 9), ("residual", 9)]
    assert [text(each.yaxis.label) for each in axes[::3]] == labels


def test_whole_scans_as_exemplars_have_no_surroundings(tmp_path: Path) -> None:
    patches = GENERATOR.integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    exemplars = Exemplars(patches, patches, ["a", "b"], "by a rule")
    *axes, _ = draw_exemplars(tmp_path / "exemplars.png", exemplars).axes
    labels = ["input", "reconstruction", "residual"]
    assert [each.get_ylabel() for each in axes[::2]] == labels
    assert not any(each.collections for each in axes)


def test_names_with_dollars_are_no_formulas(tmp_path: Path) -> None:
    patches = GENERATOR.integers(0, 256, (1, 16, 16, 1), dtype=np.uint8)
    exemplars = Exemplars(patches, None, ["bag$1_{$x"], "by a rule")
    axes = draw_exemplars(tmp_path / "exemplars.png", exemplars).axes
    assert axes[0].get_title() == r"bag\$1_{\$x"
    labels = np.array(["normal", "normal", "a$b$"])
    test = WindowScores(labels, np.array(list("abc")), {ANOMALY: np.array([0.1, 0.3, 0.2])})
    figure = draw_roc(tmp_path / "roc.png", test, auc_table(test, ("a$b$",), 5, 0), 0.5)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == r"a\$b\$  0.500"


def test_the_legend_of_a_roc_curve_is_where_no_curve_is(tmp_path: Path) -> None:
    above = shifted_scores()
    below = replace(above, scores={ANOMALY: -above.scores[ANOMALY]})
    for test, place in ((above, "lower right"), (below, "upper left")):
        table = auc_table(test, ("pocket_knife", "gun"), resamples=2, seed=0)
        legend = draw_roc(tmp_path / "roc.png", test, table, 0.5).axes[0].get_legend()
        assert legend is not None
        assert legend._loc == Legend.codes[place]  # type: ignore[attr-defined]


def test_long_titles_stay_apart(tmp_path: Path) -> None:
    name = "2021-05-03/lane_2/bag_000000"
    pictures = GENERATOR.integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    exemplars = Exemplars(pictures, None, [f"{name}\n0.5"] * 2, "")
    scan = ShownScan(f"gun, knife, pliers, wrench ({name})", IMAGE, IMAGE, IMAGE[..., 0] < 0)
    for figure in (
        draw_exemplars(tmp_path / "exemplars.png", exemplars),
        draw_scans(tmp_path / "scans.png", [scan, scan], ""),
    ):
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        first, second = (axes.title.get_window_extent(renderer) for axes in figure.axes[:2])
        assert first.x0 > 0
        assert first.x1 < second.x0


def test_residuals_of_all_exemplars_share_one_scale(tmp_path: Path) -> None:
    patches = np.zeros((2, 16, 16, 1), dtype=np.uint8)
    patches[1] = 200
    exemplars = Exemplars(patches, np.zeros_like(patches), ["same", "other"], "")
    axes = draw_exemplars(tmp_path / "exemplars.png", exemplars).axes
    assert [each.images[0].get_clim() for each in axes[4:6]] == [(0, 200)] * 2
    same = Exemplars(patches[:1], patches[:1], ["same"], "")
    residual = draw_exemplars(tmp_path / "same.png", same).axes[2]
    assert residual.images[0].get_clim() == (0, 1)


def test_a_scan_is_shown_over_its_heat_and_the_outline_of_its_threats(tmp_path: Path) -> None:
    pictures = GENERATOR.integers(0, 256, (4, 8, 12, 3), dtype=np.uint8)
    threats = np.zeros((2, 8, 12), dtype=np.bool_)
    threats[1, 2:5, 3:9] = True
    names = ("normal", "gun")
    scans = [
        ShownScan(name, pictures[n], pictures[n + 2], threats[n]) for n, name in enumerate(names)
    ]
    figure = draw_scans(tmp_path / "scans.png", scans, "by a rule")
    *axes, legend = figure.axes
    require_no_ticks(figure, axes)
    assert size(figure) == pytest.approx([8, 6])
    assert figure.get_suptitle() == "by a rule"
    for column, scan in enumerate(scans):
        above, below = axes[column::2]
        assert text(above.title) == (scan.title, 10)
        np.testing.assert_array_equal(shown(above), scan.image)
        np.testing.assert_array_equal(shown(below), scan.heat_overlay)
    assert not axes[0].collections
    assert not axes[2].collections
    for outlined in (axes[1], axes[3]):
        # Half a pixel around rows 2 to 4 and columns 3 to 8, bright on dark.
        corners = outline_of(outlined)
        assert corners.min(axis=0).tolist() == [2.5, 1.5]
        assert corners.max(axis=0).tolist() == [8.5, 4.5]
    assert legend.get_ylabel() == "normal windows that score as high"
    ticks = zip(legend.get_yticks(), legend.get_yticklabels(), strict=True)
    assert [(place, text(label)[0]) for place, label in ticks] == [
        (1, "1 of 10"), (2, "1 of 100"), (3, "1 of 1,000")
    ]  # fmt: skip
    (colours,) = legend.collections[-1:]
    assert colours.get_cmap()([0.0, 1.0])[:, 3].tolist() == pytest.approx([0, 0.75], abs=0.01)


def outline_of(axes: Axes) -> np.ndarray:
    """The corners of the only outline, which is drawn twice: bright on a wider dark line."""
    dark, bright = axes.collections
    colours = [tuple(np.ravel(line.get_edgecolor())) for line in (dark, bright)]
    assert colours == [to_rgba("black"), to_rgba("#00c8e6")]
    assert np.ravel(dark.get_linewidth())[0] > np.ravel(bright.get_linewidth())[0]
    below, above = (np.asarray(line.get_paths()[0].vertices) for line in (dark, bright))
    np.testing.assert_array_equal(below, above)
    return above


def test_a_caption_is_as_wide_as_its_figure(tmp_path: Path) -> None:
    scan = ShownScan("normal", IMAGE, IMAGE, IMAGE[..., 0] < 0)
    figure = draw_scans(tmp_path / "scans.png", [scan], "a rule " * 40)
    (caption,) = [text for text in figure.texts if "a rule" in text.get_text()]
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    width = caption.get_window_extent(renderer).width / figure.bbox.width
    assert 0.5 < width < 1


def test_a_figure_s_file_has_110_dots_an_inch_and_says_nothing_of_the_software(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new" / "folder" / "a.png"
    for _ in range(2):
        save_figure(Figure(figsize=(2, 1)), path)
    written = path.read_bytes()
    assert written.startswith(b"\x89PNG")
    assert b"Software" not in written
    image = cv2.imread(str(path))
    assert image is not None
    assert image.shape == (110, 220, 3)


def test_a_tight_figure_s_file_has_what_is_drawn_beside_the_figure(tmp_path: Path) -> None:
    figure, seen = Figure(figsize=(2, 1)), []
    figure.text(1.5, 0.5, "beside")
    for box in (None, "tight"):
        save_figure(figure, tmp_path / "a.png", box)
        image = cv2.imread(str(tmp_path / "a.png"))
        assert image is not None
        seen.append(bool((image < 100).any()))
    assert seen == [False, True]


def test_a_figure_on_a_full_disk_is_named_and_nothing_of_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    (tmp_path / f".a.png.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as error:
        save_figure(Figure(figsize=(2, 1)), path)
    assert error.value.filename == str(path)
    assert not list(tmp_path.iterdir())
