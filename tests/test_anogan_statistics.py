"""What is measured of AnoGAN's search, on windows whose numbers are known."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from experiments.paper.anogan_statistics import measures, orders, searched
from experiments.paper.reference_protocol import LabelledTest
from pipeline.models.methods.anogan.method import AnoganScorer
from pipeline.models.pixels import to_tensor
from pipeline.training.loop import CPU

NORMAL = np.array([True, False, True, False])


def flat(values: list[float]) -> np.ndarray:
    """Windows (N, 3, 2, 2), each of one brightness."""
    return np.array(values, dtype=np.float32)[:, None, None, None] * np.ones((1, 3, 2, 2), "f4")


def test_the_measures_of_windows_of_one_brightness() -> None:
    x, x_hat = flat([0.8, -0.6, 0.4, -0.2]), flat([0.4, -0.3, 0.1, 0.2])
    # Residuals are 12 pixels times .4, .3, .3, .4; the mean of G(z) is .1.
    expected = [0.5, 12 * 0.35, 12 * 0.35, 0.25, -0.05, 0.5]
    assert measures(x, x_hat, NORMAL) == pytest.approx(expected, abs=1e-6)
    dark = flat([0.8, -0.9, 0.4, -0.3])  # residuals .4, .6, .3, .5; from .1: .7, 1, .3, .4
    expected = [1.0, 12 * 0.35, 12 * 0.55, 0.25, -0.05, 0.75]
    assert measures(dark, x_hat, NORMAL) == pytest.approx(expected, abs=1e-6)


def test_classes_are_in_order_one_way_and_the_other() -> None:
    found = orders(NORMAL)
    assert [order.tolist() for order, own in found.values() if not own] == [[0, 2, 1, 3]]
    assert found["own statistics, normal first"][0].tolist() == [0, 2, 1, 3]
    assert found["own statistics, threats first"][0].tolist() == [1, 3, 0, 2]
    assert sorted(found["own statistics, shuffled"][0].tolist()) == [0, 1, 2, 3]


def test_what_the_search_finds_is_in_the_order_of_the_test_set() -> None:
    patches = np.random.default_rng(0).integers(0, 256, (20, 2, 2, 3), dtype=np.uint8)
    test = LabelledTest(patches, np.array(["normal"] * 20), np.arange(20).astype(str))
    scorer = cast(AnoganScorer, SimpleNamespace(reconstruct=lambda x: x))
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_array_equal(searched(scorer, test, order, 8), to_tensor(patches, CPU))
