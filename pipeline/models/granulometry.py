"""Terms of a window that need no network: how much it absorbs, in pieces of which thickness.

An opening by a disc removes from a map of attenuation whatever is thinner than the disc, so the
mean and the maximum of maps that are opened by growing discs tell how much of a window absorbs, in
pieces of which thickness (granulometry: Matheron, Random Sets and Integral Geometry, 1975). An
object that is added to a bag can only take transmission away, so each term grows with it.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from pipeline.common.names import Image, Patches, Scores

METAL_LEVEL, DENSE_LEVEL = 0.5, 0.3  # below which red or low energy, and brightness, are lacking
RADII = (0, 1, 2, 3, 4, 6, 8, 10)  # pixels, of the discs; 0 is the map itself
BLURS = (1, 2, 4)  # sigma, pixels
STATISTICS = ("mean", "max")


def map_names(channels: int) -> tuple[str, ...]:
    """Return the names of the maps of scans with `channels` channels; grey has no hue."""
    return ("metal", "dense", "attenuation") + ("hue",) * (channels > 1)


def attenuation_maps(image: Image) -> Image:
    """Return the maps of a window or scan (H, W, C), (H, W, M) uint8, in the order of `map_names`.

    *metal* is what red lacks of `METAL_LEVEL`, *dense* what brightness lacks of `DENSE_LEVEL`, and
    *attenuation* what brightness lacks of white. *hue* is how much blue there is more than red: in
    pseudo-colour metal is blue. Of two channels the first is the low energy, which metal stops, and
    counts as red; the second, the high energy, counts as blue. Grey counts as red.
    """
    pixels = image.astype(np.float32)
    red, blue, brightness = pixels[..., 0], pixels[..., -1], pixels.mean(axis=2)
    maps = [255 * METAL_LEVEL - red, 255 * DENSE_LEVEL - brightness, 255 - brightness]
    if image.shape[2] > 1:
        maps.append(blue - red)
    return np.maximum(np.stack(maps, axis=2), 0).astype(np.uint8)


def opened(maps: Image, radius: int) -> Image:
    """Return maps (H, W, M) uint8 opened by a disc; outside of the maps nothing is known."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    kept = np.asarray(cv2.morphologyEx(maps, cv2.MORPH_OPEN, disc), dtype=np.uint8)
    return kept.reshape(maps.shape)  # OpenCV drops the axis of a single map


def granulometry(
    maps: Sequence[Image], names: Sequence[str], radii: Sequence[int]
) -> dict[str, Scores]:
    """Return mean and maximum of each opened map of N windows, (N,) each, from 0 to 1.

    Args:
        maps: N maps (H, W, M) uint8.
        names: of the M maps.
        radii: of the discs.
    """
    found = np.zeros((len(radii), len(STATISTICS), len(names), len(maps)))
    for row, each in enumerate(maps):
        for place, radius in enumerate(radii):
            kept = opened(each, radius)
            # OpenCV's are 20 times as fast as NumPy's over the first two axes of three.
            highest = cv2.reduce(kept.reshape(len(kept), -1), 0, cv2.REDUCE_MAX)
            found[place, 0, :, row] = cv2.mean(kept)[: len(names)]
            found[place, 1, :, row] = highest.reshape(-1, len(names)).max(axis=0)
    return {
        f"{name}_{statistic}_{radius}": found[i, j, k] / 255
        for i, radius in enumerate(radii)
        for j, statistic in enumerate(STATISTICS)
        for k, name in enumerate(names)
    }


def texture(patches: Patches) -> dict[str, Scores]:
    """Return total variation, standard deviation and what blurs take away, (N,) each, 0 to 1."""
    brightness = patches.mean(axis=3, dtype=np.float32) / np.float32(255)
    variation = [np.abs(np.diff(brightness, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    found = {"variation": np.mean(variation, axis=0), "deviation": brightness.std(axis=(1, 2))}
    for sigma in BLURS:
        blurred = [cv2.GaussianBlur(image, (0, 0), sigma) for image in brightness]
        found[f"detail_{sigma}"] = np.array(
            [np.abs(a - b).mean() for a, b in zip(brightness, blurred, strict=True)]
        )
    return {name: values.astype(np.float64) for name, values in found.items()}


def pixel_terms(patches: Patches) -> Mapping[str, Scores]:
    """Return every term of patches (N, S, S, C) uint8 that needs no network, (N,) each."""
    maps = [attenuation_maps(patch) for patch in patches]
    return {**granulometry(maps, map_names(patches.shape[3]), RADII), **texture(patches)}
