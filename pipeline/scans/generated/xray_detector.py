"""Turns optical depths into an image: Beer-Lambert, photon noise, blur, pseudo-colour."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Image
from pipeline.scans.generated.materials import z_calibration

Floats = NDArray[np.float32]

PHOTONS = 3500.0  # per pixel and energy in empty air
SCATTER = 0.0006  # share of the open beam that reaches every pixel and hides weaker signals
BLUR = 0.5  # sigma of the detector's aperture, pixels
LINE_GAIN = 0.004  # relative deviation of a line's gain: lines are not calibrated one by one
COLOUR_BLUR = 0.6  # sigma in pixels of the blur of noisy readings before their ratio is taken
SHARPEN = 1.6  # strength of the unsharp mask; its sigma in pixels is the next line
SHARPEN_SIGMA = 1.3
AIR = 0.02  # optical depth that is shown as empty, so that air stays white under noise
DISPLAY_GAMMA = 0.36  # compresses the range of transmission into the range of a screen
THIN = 0.03  # optical depth below which the ratio is unreliable and the colour neutral
NEUTRAL_Z = 10.0

# The colours of each effective atomic number at `LEVELS` of brightness, from opaque to air.
LEVELS = (0.0, 0.12, 0.3, 0.5, 0.7, 0.88, 1.0)
PALETTE: dict[float, tuple[tuple[int, int, int], ...]] = {
    7.6: (
        (30, 34, 30), (40, 76, 26), (98, 126, 22), (214, 152, 44),
        (232, 184, 106), (248, 226, 194), (255, 255, 255),
    ),
    9.8: (
        (30, 34, 30), (38, 78, 26), (80, 138, 30), (172, 170, 60),
        (212, 196, 124), (240, 234, 200), (255, 255, 255),
    ),
    12.4: (
        (30, 32, 30), (36, 68, 28), (64, 132, 32), (124, 180, 74),
        (178, 211, 142), (226, 240, 212), (255, 255, 255),
    ),
    15.5: (
        (30, 30, 30), (26, 58, 46), (28, 110, 80), (66, 162, 134),
        (140, 200, 180), (214, 236, 228), (255, 255, 255),
    ),
    19.0: (
        (28, 29, 32), (20, 46, 68), (16, 88, 142), (40, 132, 206),
        (110, 180, 230), (208, 230, 244), (255, 255, 255),
    ),
}  # fmt: skip
Z_STEPS, LEVEL_STEPS = 96, 512


def readings(depth: Floats, rng: np.random.Generator) -> Floats:
    """Measure optical depths (2, H, W), low and high energy; returns noisy depths, same shape.

    Photon counts are Poisson; at these counts a normal distribution with the same variance is
    indistinguishable and far quicker.
    """
    passed = np.stack([cv2.GaussianBlur(row, (0, 0), BLUR) for row in np.exp(-depth)])
    passed += SCATTER
    noise = rng.standard_normal(passed.shape, dtype=np.float32)
    passed += np.sqrt(passed / PHOTONS) * noise
    gains = 1 + LINE_GAIN * rng.standard_normal((2, passed.shape[1], 1), dtype=np.float32)
    # The electronics report half of `SCATTER` at least.
    return np.asarray(-np.log(np.clip(passed * gains, SCATTER / 2, None)), dtype=np.float32)


def effective_z(measured: Floats) -> Floats:
    """Return the effective atomic number (H, W) of measured optical depths (2, H, W).

    The ratio method: find the element whose tabulated ratio of attenuation at the two energies is
    the measured ratio. Thin layers get about `NEUTRAL_Z`, as noise would colour them at random.
    """
    low, high = (cv2.GaussianBlur(row, (0, 0), COLOUR_BLUR) for row in measured)
    ratios, elements = z_calibration()
    neutral = float(np.interp(NEUTRAL_Z, elements, ratios))
    ratio = (np.maximum(low, 0) + THIN * neutral) / (np.maximum(high, 0) + THIN)
    return np.asarray(np.interp(ratio, ratios, elements), dtype=np.float32)


def brightness(measured: Floats) -> Floats:
    """Return the screen's brightness (H, W), 0 to 1 (air), for optical depths (2, H, W)."""
    level = np.exp(-DISPLAY_GAMMA * np.maximum(measured.mean(axis=0) - AIR, 0))
    blurred = cv2.GaussianBlur(level, (0, 0), SHARPEN_SIGMA)
    return np.asarray(np.clip(level + SHARPEN * (level - blurred), 0, 1), dtype=np.float32)


@cache
def palette() -> NDArray[np.uint8]:
    """Return the colours (Z_STEPS, LEVEL_STEPS, 3) by atomic number and by brightness."""
    anchors, levels = sorted(PALETTE), np.linspace(0, 1, LEVEL_STEPS)
    numbers = np.linspace(anchors[0], anchors[-1], Z_STEPS)
    table = np.array([PALETTE[z] for z in anchors])
    table = np.apply_along_axis(lambda row: np.interp(levels, LEVELS, row), 1, table)
    table = np.apply_along_axis(lambda column: np.interp(numbers, anchors, column), 0, table)
    return np.asarray(np.rint(table), dtype=np.uint8)


def pseudo_colour(z: Floats, level: Floats) -> Image:
    """Return an image (H, W, 3), orange to blue, of atomic numbers and brightness (H, W)."""
    lowest, highest = min(PALETTE), max(PALETTE)
    row = np.clip((z - lowest) * ((Z_STEPS - 1) / (highest - lowest)), 0, Z_STEPS - 1)
    column = level * (LEVEL_STEPS - 1)
    return palette()[(row + 0.5).astype(np.intp), (column + 0.5).astype(np.intp)]


def expose(depth: Floats, rng: np.random.Generator) -> Image:
    """Return the image (H, W, 3) of optical depths (2, H, W) at the low and the high energy."""
    measured = readings(depth, rng)
    return pseudo_colour(effective_z(measured), brightness(measured))
