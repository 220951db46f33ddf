"""Lays threats over normal windows, to judge scores on sets in which no scan has a threat.

Operators are tested in the same way (threat image projection). The threats come from the
generator. Transmissions multiply (Beer-Lambert), and the product gets the colours of the scans'
metal, so that no score can detect a threat by its colour alone. Scans stored as JPEG have lost fine
noise, but new threats have it. So every window, with or without a threat, is compressed, and no
score can detect a threat by its noise.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import NORMAL, Image, Patches
from pipeline.patches.windows import BACKGROUND_LEVEL, keep_windows, window_pixels
from pipeline.scans.generated.items import THREATS
from pipeline.scans.generated.packing import SILHOUETTE_DEPTH
from pipeline.scans.generated.shapes import Pose, Tile
from pipeline.scans.generated.textures import Textures
from pipeline.scans.generated.xray_detector import expose
from pipeline.scans.scan import Region, Scan
from pipeline.settings.windows import WindowRule

SCALE = 6.5  # pixels a cm, a little less than generated bags have
MAX_TILT = 0.8  # radians out of the picture
PER_THREAT = 8  # windows of one threat, at most
LEVELS = np.linspace(0, 255, 33)  # of brightness, between which colours are interpolated
METAL_SHARE = 0.1  # of the pixels of a brightness: those with the least red are taken for metal
MAX_PIXELS = 2_000_000
JPEG_QUALITY = 90


def projected(normals: Patches) -> Patches:
    """Return normal windows (N, S, S, C) with a threat in each, or enough of one.

    Enough is the share from which a window of a scan is called abnormal.
    """
    count, size = normals.shape[:2]
    rng = np.random.default_rng([0, count])
    rule = WindowRule(size=size, stride=size // 2)
    threats: list[Image] = []
    while len(threats) < count:
        threats += _windows_of(_threat_in_air(rng), rule, rng)
    over = np.stack(threats[:count])
    shadow = (over < BACKGROUND_LEVEL).any(axis=3, keepdims=True)
    brightness = normals.mean(axis=3) * over.mean(axis=3) / 255
    return np.where(shadow, _painted(brightness, metal_colours(normals)), normals)


def compressed(windows: Patches) -> Patches:
    """Return the windows, (N, S, S, C), after JPEG has compressed them."""
    return np.stack([_compressed(window) for window in windows])


def metal_colours(normals: Patches) -> NDArray[np.float64]:
    """Return the mean colour of metal at each of `LEVELS`, (33, 3); grey where there is none.

    Metal is painted blue, so of all that is as bright it has the least red. In grey scans every
    colour is grey.
    """
    pixels = normals.reshape(-1, normals.shape[3])
    pixels = pixels[:: max(1, len(pixels) // MAX_PIXELS)]
    nearest = np.rint(pixels.mean(axis=1) / LEVELS[1]).astype(np.intp)
    colours = np.repeat(LEVELS[:, None], normals.shape[3], axis=1)
    for level in np.unique(nearest):
        alike = pixels[nearest == level]
        most = max(1, round(len(alike) * METAL_SHARE))
        metal = alike[np.argsort(alike[:, 0], kind="stable")][:most]
        colours[level] = metal.mean(axis=0)
    return colours


def _compressed(window: Image) -> Image:
    if window.shape[2] == 3:  # OpenCV has blue first
        return _through_jpeg(window[..., ::-1])[..., ::-1]
    return np.stack([_through_jpeg(window[..., c]) for c in range(window.shape[2])], axis=2)


def _through_jpeg(image: Image) -> Image:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), dtype=np.uint8)


def _painted(brightness: NDArray[np.float64], colours: NDArray[np.float64]) -> Patches:
    channels = [np.interp(brightness, LEVELS, colours[:, c]) for c in range(colours.shape[1])]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _threat_in_air(rng: np.random.Generator) -> Scan:
    """Return a scan of a threat of any class and kind, with only air around it."""
    class_name = str(rng.choice(sorted(THREATS)))
    item = THREATS[class_name][rng.integers(len(THREATS[class_name]))]
    pose = Pose(
        SCALE,
        angle=float(rng.uniform(0, 2 * np.pi)),
        squash=float(np.cos(rng.uniform(0, MAX_TILT))),
        mirrored=bool(rng.random() < 0.5),
    )
    tile = Tile(item.reach, pose, Textures(rng))
    item.draw(tile, rng)
    depth = tile.finished()
    region = Region(class_name, depth[1] > SILHOUETTE_DEPTH)
    return Scan(class_name, expose(depth, rng), (region,))


def _windows_of(scan: Scan, rule: WindowRule, rng: np.random.Generator) -> list[Image]:
    windows = keep_windows(scan, rule)
    rows = np.flatnonzero(np.array(windows.labels) != NORMAL)
    chosen = windows.origins[rng.permutation(rows)[:PER_THREAT]]
    return list(window_pixels(scan.image, chosen, rule))
