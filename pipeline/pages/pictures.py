"""Pictures of a screened scan: the heat map over it, and its parts for the page."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Image

CLEAR, FULL = 1.0, 3.0  # -log10 p at which heat is first seen, and at which it is strongest
PALE, STRONG = (254, 217, 118), (189, 0, 38)  # RGB of heat
OPACITY = 0.75
OUTLINE = (0, 200, 230)  # RGB of threats
WIDTH, HEAT_WIDTH = 800, 200  # most columns of a scan, and of its heat, on a page
MAX_RATIO = 80  # of rows to columns: a JPEG has at most 65,500 of either
BAND = 64  # rows that are mixed at a time


def heat_levels(evidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the strength of heat (H, W), 0 to 255, of evidence (H, W); 0 where it is NaN."""
    levels = np.empty(evidence.shape, dtype=np.uint8)
    for top in range(0, len(evidence), BAND):  # so that wide scans take little memory
        band = np.nan_to_num(evidence[top : top + BAND])
        levels[top : top + BAND] = np.clip((band - CLEAR) * (255 / (FULL - CLEAR)), 0, 255)
    return levels


def overlay_heat(image: Image, levels: NDArray[np.uint8]) -> Image:
    """Return a scan (H, W, 3) in grey, with the heat map over it, RGB (H, W, 3)."""
    grey = cv2.transform(image, np.full((1, 3), 1 / 3))
    result = np.empty_like(image)
    for top in range(0, len(image), BAND):
        band = np.s_[top : top + BAND]
        result[band] = _mixed_colours()[levels[band], grey[band]]
    return result


def draw_outlines(image: Image, mask: NDArray[np.bool_]) -> Image:
    """Return an RGB image (H, W, 3) with lines around the True pixels of a mask (H, W)."""
    lines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(image.copy(), lines, -1, OUTLINE, 2))


@cache
def heat_colours() -> NDArray[np.uint8]:
    """Return the colour of each level of heat over a scan, RGBA (256, 4), from clear to strong."""
    strength = np.linspace(0, 1, 256)[:, None]
    colours = np.array(PALE) + strength * (np.array(STRONG) - PALE)
    opacity = 255 * OPACITY * np.sqrt(strength)
    return np.concatenate([colours, opacity], axis=1).round().astype(np.uint8)


@cache
def _mixed_colours() -> NDArray[np.uint8]:
    """Return each level of heat over each grey, RGB (256, 256, 3)."""
    colours = heat_colours()[:, None].astype(np.float64)
    opacity, grey = colours[:, :, 3:] / 255, np.arange(256)[:, None]
    return (grey * (1 - opacity) + colours[:, :, :3] * opacity).round().astype(np.uint8)


def encode_image(pixels: NDArray[np.uint8], suffix: str) -> bytes:
    """Return RGB or RGBA pixels as the bytes of a file of the kind `suffix`."""
    code = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return cv2.imencode(suffix, cv2.cvtColor(pixels, code))[1].tobytes()


def page_pictures(scan: Image, levels: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Return a scan (H, W, 3) as JPEG and its heat (H, W) as PNG, of sizes that fit a page."""
    heat = heat_colours()[shrink_to_width(levels, HEAT_WIDTH)]
    return encode_image(shrink_to_width(scan, WIDTH), ".jpg"), encode_image(heat, ".png")


def shrink_to_width(pixels: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """Return pixels (H, W, ...), made smaller until W <= `most` and H <= `MAX_RATIO` * `most`."""
    height, width = pixels.shape[:2]
    scale = min(most / width, MAX_RATIO * most / height)
    if scale >= 1:
        return pixels
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
