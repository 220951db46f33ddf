"""The scene that objects are packed into, and where and how they come to lie."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.sources.base import Mask
from pipeline.sources.embedded.catalogue import BENIGN, CLOTHES, Item
from pipeline.sources.embedded.shapes import Floats, Pose, Tile
from pipeline.sources.embedded.textures import Textures

Rng = np.random.Generator
Place = NDArray[np.float64]  # (2,) x and y in pixels

SILHOUETTE_DEPTH = 0.02  # at the high energy; less is the fringe of antialiasing and smear
DEPTH_CM = 2.5  # of a typical object, that smears its edges when it lies tilted
MAX_SMEAR = 4.0  # pixels


@dataclass
class Scene:
    """What is in the beam, so far.

    Attributes:
        depth: (2, H, W) float32, optical depth at the low and the high energy.
        inside: (N, 2) outline of the room in the container, pixels, convex.
        scale: pixels a cm.
        textures: cloth and grain of this scan.
        rng: the scan's generator.
    """

    depth: Floats
    inside: NDArray[np.float64]
    scale: float
    textures: Textures
    rng: Rng

    def add(self, tile: Floats, centre: Place) -> Mask:
        """Add an object's tile (2, side, side) about a centre; gives its silhouette (H, W)."""
        height, width = self.depth.shape[1:]
        side = tile.shape[1]
        left, top = (int(place) - side // 2 for place in centre)
        rows = slice(max(top, 0), max(min(top + side, height), 0))
        columns = slice(max(left, 0), max(min(left + side, width), 0))
        part = tile[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        self.depth[:, rows, columns] += part
        silhouette = np.zeros((height, width), dtype=np.bool_)
        silhouette[rows, columns] = part[1] > SILHOUETTE_DEPTH
        return silhouette

    def place(self, towards_middle: float) -> Place:
        """A random place inside; 0 reaches to the walls, 1 is the middle."""
        contour = self.inside.astype(np.float32)[:, None]
        low, high = self.inside.min(axis=0), self.inside.max(axis=0)
        middle = (low + high) / 2
        while True:
            point: Place = self.rng.uniform(low, high)
            if cv2.pointPolygonTest(contour, point.tolist(), False) >= 0:
                return middle + (point - middle) * (1 - towards_middle)

    def pose(self, tilt: float, angle: float | None = None) -> Pose:
        """A random pose, rotated out of the picture by up to `tilt` radians."""
        lean = self.rng.uniform(0, tilt)
        return Pose(
            scale=self.scale,
            angle=self.rng.uniform(0, 2 * np.pi) if angle is None else angle,
            squash=float(np.cos(lean)),
            mirrored=bool(self.rng.random() < 0.5),
            smear=min(float(np.sin(lean)) * DEPTH_CM * self.scale, MAX_SMEAR),
        )

    def put(self, item: Item, pose: Pose, centre: Place) -> Mask:
        """Draw one object and add it; gives its silhouette (H, W)."""
        tile = Tile(item.reach, pose, self.textures)
        item.draw(tile, self.rng)
        return self.add(tile.finished(), centre)


def pick(rng: Rng, in_parcel: bool) -> Item:
    """A kind of benign object, by its weight."""
    weights = np.array([item.in_parcel if in_parcel else item.in_bag for item in BENIGN])
    return BENIGN[rng.choice(len(BENIGN), p=weights / weights.sum())]


def pack_bag(scene: Scene) -> None:
    """Layers of clothes, and among them what people carry."""
    rng = scene.rng
    for _ in range(rng.integers(4, 11)):
        scene.put(CLOTHES, scene.pose(0.6), scene.place(0.15))
    for _ in range(rng.integers(9, 22)):
        scene.put(pick(rng, False), scene.pose(1.1), _free_place(scene))


def pack_parcel(scene: Scene) -> None:
    """Goods: a few kinds, of each several pieces that lie in rows the same way, and fillers."""
    rng = scene.rng
    for _ in range(rng.integers(2, 5)):
        item, start = pick(rng, True), scene.place(0.0)
        turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else rng.integers(4) * np.pi / 2
        pose = scene.pose(0.9, angle=float(turn) + rng.normal(0, 0.04))
        step = item.reach * scene.scale * rng.uniform(0.5, 1.0, 2)
        columns, rows = rng.integers(1, 4, 2)
        for index in range(columns * rows):
            scene.put(item, pose, start + step * (index % columns, index // columns) - step * 0.7)
    for _ in range(rng.integers(4, 11)):
        scene.put(pick(rng, True), scene.pose(1.1), _free_place(scene))


def _free_place(scene: Scene) -> Place:
    """Of a few random places the one where least lies yet: packers fill gaps."""
    places = [scene.place(0.05) for _ in range(3)]
    height, width = scene.depth.shape[1:]
    reach = int(5 * scene.scale)

    def filled(place: Place) -> float:
        x, y = np.clip(place, 0, (width - 1, height - 1)).astype(int)
        near = scene.depth[1, max(y - reach, 0) : y + reach : 4, max(x - reach, 0) : x + reach : 4]
        return float(near.mean())

    return min(places, key=filled)
