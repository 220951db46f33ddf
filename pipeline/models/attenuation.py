"""Maps of attenuation: how much the pixels of a patch absorb, as metal and as dense matter."""

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Patches

METAL_LEVEL, DENSE_LEVEL = 0.5, 0.3  # below which red or low energy, and brightness, are lacking
MAPS = ("metal", "dense")


def attenuation_maps(patches: Patches) -> Patches:
    """Return the maps of patches (N, S, S, C), (N, S, S, 2) uint8, in the order of `MAPS`.

    *metal* is max(255 METAL_LEVEL - red, 0), as in the score `metal_amount`, and *dense* is
    max(255 DENSE_LEVEL - mean of the channels, 0). Of two channels the first is the low energy,
    which metal stops, and counts as red; grey counts as red and as brightness.
    """
    channels = patches.shape[3]
    total = patches[..., 0].astype(np.intp)
    for channel in range(1, channels):
        total += patches[..., channel]
    metal = _shortfall(METAL_LEVEL, 1)[patches[..., 0]]
    return np.stack([metal, _shortfall(DENSE_LEVEL, channels)[total]], axis=3)


def _shortfall(level: float, channels: int) -> NDArray[np.uint8]:
    """Return, for each sum of channels, what their mean lacks of `level`, 0 to 255."""
    sums = np.arange(255 * channels + 1)
    return np.maximum(255 * level - sums / channels, 0).astype(np.uint8)
