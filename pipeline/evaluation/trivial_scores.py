"""Scores that need no model. A detector that does not beat them has learned nothing useful."""

from collections.abc import Callable

import numpy as np

from pipeline.common.names import Patches, Scores
from pipeline.models.attenuation import DENSE_LEVEL, METAL_LEVEL

AXES = (1, 2, 3)


def darkness(patches: Patches) -> Scores:
    """Return 1 - mean, of values in [0, 1]: the total absorption."""
    return 1.0 - patches.mean(axis=AXES, dtype=np.float64) / 255.0


def dense_amount(patches: Patches) -> Scores:
    """Return the mean of max(0.3 - x, 0), of values in [0, 1]: the amount that is nearly black."""
    return _shortfall(patches, DENSE_LEVEL)


def metal_amount(patches: Patches) -> Scores:
    """Return the mean of max(0.5 - red, 0), of values in [0, 1]: metal is blue, so it lacks red.

    Without red, the first channel counts: grey, or the low energy, which metal stops.
    """
    return _shortfall(patches[..., :1], METAL_LEVEL)


def standard_deviation(patches: Patches) -> Scores:
    """Return the standard deviation over all pixels and channels, of values in [0, 1]."""
    return patches.std(axis=AXES, dtype=np.float64) / 255.0


def total_variation(patches: Patches) -> Scores:
    """Return the mean absolute difference of neighbouring pixels, of values in [0, 1]."""
    vertical = _mean_difference(patches[:, 1:], patches[:, :-1])
    horizontal = _mean_difference(patches[:, :, 1:], patches[:, :, :-1])
    return (vertical + horizontal) / 2


def _shortfall(patches: Patches, level: float) -> Scores:
    values = patches.astype(np.float32) / 255.0
    return np.maximum(level - values, 0).mean(axis=AXES, dtype=np.float64)


def _mean_difference(left: Patches, right: Patches) -> Scores:
    difference = np.abs(left.astype(np.int16) - right)
    return difference.mean(axis=AXES, dtype=np.float64) / 255.0


TRIVIAL_SCORES: dict[str, Callable[[Patches], Scores]] = {
    "darkness": darkness,
    "dense_amount": dense_amount,
    "metal_amount": metal_amount,
    "standard_deviation": standard_deviation,
    "total_variation": total_variation,
}
