"""Threats laid over normal windows: something to judge scores on where no scan has a threat.

So operators are tested as well (threat image projection). The threats are the generator's;
transmissions multiply (Beer-Lambert). Their colours are those of its palette, not of the scans, so
a score that tells colours has it easier than with real ones.
"""

import numpy as np

from pipeline.scoring import Patches
from pipeline.sources.base import Image, Region, Scan
from pipeline.sources.embedded.catalogue import THREATS
from pipeline.sources.embedded.detector import expose
from pipeline.sources.embedded.shapes import Pose, Tile
from pipeline.sources.embedded.textures import Textures
from pipeline.windows import BACKGROUND_LEVEL, NORMAL, WindowRule, cut_windows

SCALE = 6.5  # pixels a cm, as generated bags have
MOST_TILT = 0.8  # radians out of the picture
SILHOUETTE_DEPTH = 0.02
PER_THREAT = 8  # windows of one threat, at most


def projected(normals: Patches, size: int, seed: int) -> Patches:
    """Normal windows (N, size, size, 3) with a threat in each, or enough of one.

    What is enough is the rule by which windows of scans are called abnormal.
    """
    rng = np.random.default_rng([seed, len(normals)])
    rule = WindowRule(size=size, stride=size // 2)
    threats: list[Image] = []
    while len(threats) < len(normals):
        threats += _windows_of(_threat_in_air(rng), rule, rng)
    over = np.stack(threats[: len(normals)])
    shadow = (over < BACKGROUND_LEVEL).any(axis=3, keepdims=True)
    product = (normals.astype(np.uint16) * over // 255).astype(np.uint8)
    return np.where(shadow, product, normals)


def _threat_in_air(rng: np.random.Generator) -> Scan:
    """A threat of any class and kind, with nothing about it."""
    class_name = str(rng.choice(sorted(THREATS)))
    item = THREATS[class_name][rng.integers(len(THREATS[class_name]))]
    pose = Pose(
        SCALE,
        angle=float(rng.uniform(0, 2 * np.pi)),
        squash=float(np.cos(rng.uniform(0, MOST_TILT))),
        mirrored=bool(rng.random() < 0.5),
    )
    tile = Tile(item.reach, pose, Textures(rng))
    item.draw(tile, rng)
    depth = tile.finished()
    region = Region(class_name, depth[1] > SILHOUETTE_DEPTH)
    return Scan(class_name, expose(depth, rng), (region,))


def _windows_of(scan: Scan, rule: WindowRule, rng: np.random.Generator) -> list[Image]:
    windows = cut_windows(scan, rule)
    rows = np.flatnonzero(np.array(windows.labels) != NORMAL)
    return list(windows.pixels[rng.permutation(rows)[:PER_THREAT]])
