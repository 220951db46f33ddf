"""The terms: how much of a window absorbs, in pieces of which thickness.

An opening by a disc removes from a map whatever is thinner than the disc. So the mean and the
maximum of maps of attenuation that are opened by growing discs tell how much of a window absorbs,
and in pieces of which thickness (granulometry: Matheron, Random Sets and Integral Geometry, 1975).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Image, Patches

STATISTICS = ("mean", "max")
RADII = (0, 1, 2, 3, 4, 6, 8, 10)  # pixels, of the discs; 0 is the map itself


def granulometry(maps: Patches, radii: tuple[int, ...] = RADII) -> NDArray[np.float32]:
    """Return mean and maximum of each opened map, (N, maps, statistics, radii), from 0 to 1.

    Args:
        maps: (N, S, S, M) uint8, M up to 4.
        radii: of the discs, in pixels.
    """
    discs = [_disc(radius) for radius in radii]
    count, side, _, channels = maps.shape
    found = np.empty((count, channels, len(STATISTICS), len(radii)), dtype=np.float32)
    for of_window, window in zip(found, maps, strict=True):
        for place, disc in enumerate(discs):
            kept = opened(window, disc)
            of_window[:, 0, place] = cv2.mean(kept)[:channels]
            # OpenCV's maximum is 20 times as fast as NumPy's over the first two axes of three.
            highest = cv2.reduce(kept.reshape(side, -1), 0, cv2.REDUCE_MAX)
            of_window[:, 1, place] = highest.reshape(side, channels).max(axis=0)
    return found / np.float32(255)


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


def opened(window: Image, disc: NDArray[np.uint8]) -> Image:
    """Return the maps (S, S, M) uint8 of a window, opened; outside of it nothing is known."""
    kept = np.asarray(cv2.morphologyEx(window, cv2.MORPH_OPEN, disc), dtype=np.uint8)
    return kept.reshape(window.shape)  # OpenCV drops the axis of a single map
