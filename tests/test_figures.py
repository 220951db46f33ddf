"""What the figures show, read from what is drawn."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from pipeline.evaluation.evaluate import ANOMALY, TestScores, auc_table
from pipeline.evaluation.figures import (
    Colours,
    Exemplars,
    ScoredScan,
    displayable,
    draw_exemplars,
    draw_histogram,
    draw_roc,
    draw_scans,
    draw_tsne,
)

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(0, 256, (5, 6, 3), dtype=np.uint8)
COLOURS = Colours(normal="C2", abnormal="C3")


def shifted_scores() -> TestScores:
    """Knives score a little higher than normal windows, and guns much higher."""
    labels = np.repeat(["normal", "knife", "gun"], [60, 30, 20])
    shifts = np.repeat([0.0, 0.5, 2.0], [60, 30, 20])
    scores = np.random.default_rng(1).normal(size=110) + shifts
    return TestScores(labels, np.arange(110).astype(str), {ANOMALY: scores})


def shown(axes: Axes, layer: int = 0) -> np.ndarray:
    return np.asarray(axes.images[layer].get_array())


def test_colour_is_shown_as_it_is_and_grey_as_grey() -> None:
    np.testing.assert_array_equal(displayable(IMAGE), IMAGE)
    np.testing.assert_array_equal(displayable(IMAGE[..., :1]), IMAGE[..., [0, 0, 0]])


def test_what_stops_only_the_low_energy_is_shown_blue() -> None:
    shown = displayable(IMAGE[..., :2])
    np.testing.assert_array_equal(shown[..., [0, 2]], IMAGE[..., :2])
    assert (shown.max(axis=2) == IMAGE[..., :2].max(axis=2)).all()
    assert displayable(np.array([[[40, 200]]], np.uint8)).tolist() == [[[40, 120, 200]]]


def test_a_roc_curve_has_the_area_that_its_legend_says(tmp_path: Path) -> None:
    test = shifted_scores()
    table = auc_table(test, ("knife", "gun"), samples=2, seed=0)
    (axes,) = draw_roc(tmp_path / "roc.png", test, table).axes
    *curves, _diagonal = axes.lines
    assert [str(curve.get_label()).split() for curve in curves] == [
        [name, f"{estimate.auc:.3f}"] for name, estimate in table[ANOMALY].items()
    ]
    for curve, estimate in zip(curves, table[ANOMALY].values(), strict=True):
        x, y = (np.asarray(values, dtype=float) for values in curve.get_data())
        assert np.trapezoid(y, x) == pytest.approx(estimate.auc)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("false positive rate", "true positive rate")


def test_the_histogram_has_abnormal_scores_to_the_right_and_the_threshold(tmp_path: Path) -> None:
    test = shifted_scores()
    (axes,) = draw_histogram(tmp_path / "histogram.png", test, 0.75, COLOURS).axes
    bars = [cast(Rectangle, bar) for bar in axes.patches]
    for name, colour, mask in (
        ("normal", COLOURS.normal, test.normal),
        ("abnormal", COLOURS.abnormal, ~test.normal),
    ):
        of_kind = [bar for bar in bars if bar.get_facecolor() == to_rgba(colour, 0.6)]
        areas = np.array([bar.get_width() * bar.get_height() for bar in of_kind])
        middles = [bar.get_x() + bar.get_width() / 2 for bar in of_kind]
        assert areas.sum() == pytest.approx(1), name
        assert areas @ middles == pytest.approx(test.scores[ANOMALY][mask].mean(), abs=0.1), name
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [0.75, 0.75]


def test_t_sne_shows_each_kind_in_its_colour(tmp_path: Path) -> None:
    """Two kinds far from each other stay apart."""
    normal = np.arange(40) % 4 > 0
    features = GENERATOR.normal(size=(40, 5)).astype(np.float32) + 100 * normal[:, None]
    figure = draw_tsne(tmp_path / "tsne.png", features, normal, COLOURS, seed=0)
    of_normal, of_abnormal = (cast(PathCollection, points) for points in figure.axes[0].collections)
    places = [np.asarray(points.get_offsets()) for points in (of_normal, of_abnormal)]
    assert [len(each) for each in places] == [30, 10]
    assert to_rgba(COLOURS.normal, 0.7) == tuple(np.ravel(of_normal.get_facecolor()))
    assert to_rgba(COLOURS.abnormal, 0.7) == tuple(np.ravel(of_abnormal.get_facecolor()))
    across = np.linalg.norm(places[0][:, None] - places[1], axis=2)
    within = np.linalg.norm(places[1][:, None] - places[1], axis=2)
    assert across.min() > within.max()


def test_exemplars_are_shown_over_their_reconstruction_and_what_differs(tmp_path: Path) -> None:
    patches, reconstructions = GENERATOR.integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    exemplars = Exemplars(patches, reconstructions, ["a", "b", "c"])
    axes = draw_exemplars(tmp_path / "exemplars.png", exemplars).axes
    for column, (x, x_hat) in enumerate(zip(patches, reconstructions, strict=True)):
        above, below, residual = axes[column::3]
        np.testing.assert_array_equal(shown(above), x)
        np.testing.assert_array_equal(shown(below), x_hat)
        slow = [
            sum(abs(int(a) - int(b)) for a, b in zip(pixel, other, strict=True)) / 3
            for pixel, other in zip(x.reshape(-1, 3), x_hat.reshape(-1, 3), strict=True)
        ]
        np.testing.assert_allclose(shown(residual).ravel(), slow)
        assert above.get_title() == exemplars.titles[column]
    assert [each.get_ylabel() for each in axes[::3]] == ["input", "reconstruction", "residual"]


def test_residuals_of_all_exemplars_share_one_scale(tmp_path: Path) -> None:
    patches = np.zeros((2, 16, 16, 1), dtype=np.uint8)
    patches[1] = 200
    exemplars = Exemplars(patches, np.zeros_like(patches), ["same", "other"])
    axes = draw_exemplars(tmp_path / "exemplars.png", exemplars).axes
    assert [each.images[0].get_clim() for each in axes[4:]] == [(0, 200)] * 2


def test_a_scan_is_shown_over_its_heat_and_the_outline_of_its_threats(tmp_path: Path) -> None:
    heat = np.array([[0.0, 0.5, 1.0], [2.0, -1.0, np.nan]], dtype=np.float32)
    heat = np.repeat(np.repeat(heat, 4, axis=0), 4, axis=1)
    image = GENERATOR.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    threats = np.zeros((8, 12), dtype=np.bool_)
    nothing = ScoredScan("normal", image, heat, threats.copy())
    threats[2:5, 3:9] = True
    scans = [nothing, ScoredScan("gun", image[::-1].copy(), heat, threats)]
    axes = draw_scans(tmp_path / "scans.png", scans).axes
    strength = np.repeat(np.repeat([[0, 0.25, 1], [1, 0, 0]], 4, axis=0), 4, axis=1)
    for column, scan in enumerate(scans):
        above, below = axes[column::2]
        assert above.get_title() == scan.title
        np.testing.assert_array_equal(shown(above), scan.image)
        np.testing.assert_allclose(shown(below), scan.image.mean(axis=2))
        np.testing.assert_allclose(shown(below, 1), strength)
        np.testing.assert_allclose(np.asarray(below.images[1].get_alpha()), 0.8 * strength)
        assert [layer.get_clim() for layer in below.images] == [(0, 255), (0, 1)]
    assert not axes[2].collections
    (outline,) = axes[3].collections
    corners = np.asarray(outline.get_paths()[0].vertices)
    # Half a pixel around rows 2 to 4 and columns 3 to 8.
    assert corners.min(axis=0).tolist() == [2.5, 1.5]
    assert corners.max(axis=0).tolist() == [8.5, 4.5]
