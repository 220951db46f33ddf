"""Pictures of a screened scan: the heat map over it, and its parts for the page."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Image

CLEAR, FULL = 1.0, 3.0  # -log10 p at which heat is first seen, and at which it is strongest
PALE, STRONG = (254, 217, 118), (189, 0, 38)  # RGB of heat
OPACITY = 0.75
WIDTH, HEAT_WIDTH = 800, 200  # most pixels of a scan, and of its heat, on a page
BAND = 64  # rows that are mixed at a time


def heat_layer(evidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return evidence (H, W) in colours to lay over the scan, RGBA (H, W, 4)."""
    levels = np.clip((np.nan_to_num(evidence) - CLEAR) * (255 / (FULL - CLEAR)), 0, 255)
    return _heat_colours()[levels.astype(np.uint8)]


def under_heat(image: Image, layer: NDArray[np.uint8]) -> Image:
    """Return a scan in grey, with the heat over it, RGB (H, W, 3)."""
    result = np.empty_like(image)
    for top in range(0, len(image), BAND):  # so that wide scans take little memory
        band = np.s_[top : top + BAND]
        grey = image[band].mean(axis=2, keepdims=True, dtype=np.float32)
        opacity = layer[band][:, :, 3:] / np.float32(255)
        result[band] = (grey * (1 - opacity) + layer[band][:, :, :3] * opacity).round()
    return result


@cache
def _heat_colours() -> NDArray[np.uint8]:
    """Return 256 colours of heat, RGBA (256, 4), from clear to the strongest."""
    strength = np.linspace(0, 1, 256)[:, None]
    colours = np.array(PALE) + strength * (np.array(STRONG) - PALE)
    opacity = 255 * OPACITY * np.sqrt(strength)
    return np.concatenate([colours, opacity], axis=1).round().astype(np.uint8)


def encoded(pixels: NDArray[np.uint8], suffix: str) -> bytes:
    """Return RGB or RGBA pixels as the bytes of a file of the kind `suffix`."""
    code = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return cv2.imencode(suffix, cv2.cvtColor(pixels, code))[1].tobytes()


def page_pictures(scan: Image, heat: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Return a scan (H, W, 3) as JPEG and its heat (H, W, 4) as PNG, of sizes that fit a page."""
    return encoded(no_wider_than(scan, WIDTH), ".jpg"), encoded(
        no_wider_than(heat, HEAT_WIDTH), ".png"
    )


def no_wider_than(pixels: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return pixels (H, W, C), made smaller where they are wider than `width`."""
    if pixels.shape[1] <= width:
        return pixels
    height = max(round(pixels.shape[0] * width / pixels.shape[1]), 1)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
