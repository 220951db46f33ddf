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
PLACE_TRIES = 14
FIT = 0.6  # of an object's reach must lie inside: few extend to their reach on every side


@dataclass
class Scene:
    """What is in the beam, so far.

    Attributes:
        depth: (2, H, W) float32, optical depth at the low and the high energy.
        inside: (N, 2) outline of the room in the container, pixels, convex.
        scale: pixels a cm.
        is_parcel: whether the container is one, else a bag.
        textures: cloth and grain of this scan.
        rng: the scan's generator.
    """

    depth: Floats
    inside: NDArray[np.float64]
    scale: float
    is_parcel: bool
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

    def place(self, reach: float) -> Place:
        """A random place inside where an object of `reach` cm fits, or that comes near to it."""
        contour = self.inside.astype(np.float32)[:, None]
        low, high = self.inside.min(axis=0), self.inside.max(axis=0)
        best, most = (low + high) / 2, -np.inf
        for _ in range(PLACE_TRIES):
            point: Place = self.rng.uniform(low, high)
            # cv2 measures the distance to the wall, negative outside.
            room = cv2.pointPolygonTest(contour, point.tolist(), True)
            if room >= FIT * reach * self.scale:
                return point
            if room > most:
                best, most = point, room
        return best

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
    for _ in range(rng.integers(9, 19)):
        scene.put(CLOTHES, scene.pose(0.6), scene.place(CLOTHES.reach * 0.6))
    for _ in range(rng.integers(18, 36)):
        item = pick(rng, False)
        scene.put(item, scene.pose(1.1), _free_place(scene, item))


def pack_parcel(scene: Scene) -> None:
    """Goods of a few kinds, each in rows that lie the same way, then single things and fillers."""
    rng = scene.rng
    for _ in range(rng.integers(2, 5)):
        _stack(scene, pick(rng, True), int(rng.integers(2, 10)))
    for _ in range(rng.integers(2, 7)):
        scene.put(CLOTHES, scene.pose(0.6), scene.place(CLOTHES.reach * 0.6))
    for _ in range(rng.integers(12, 26)):
        item = pick(rng, True)
        scene.put(item, scene.pose(1.1), _free_place(scene, item))


def _stack(scene: Scene, item: Item, count: int) -> None:
    """Rows of one kind from a random place on, as far as the container reaches."""
    rng = scene.rng
    turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.3 else rng.integers(4) * np.pi / 2
    pose = scene.pose(0.9, angle=float(turn + rng.normal(0, 0.04)))
    start, columns = scene.place(item.reach), int(rng.integers(1, 4))
    step = item.reach * scene.scale * rng.uniform(0.5, 1.0, 2) * rng.choice((-1, 1), 2)
    contour = scene.inside.astype(np.float32)[:, None]
    for index in range(count):
        centre = start + step * (index % columns, index // columns)
        if cv2.pointPolygonTest(contour, centre.tolist(), True) > FIT * item.reach * scene.scale / 2:
            scene.put(item, pose, centre)


def _free_place(scene: Scene, item: Item) -> Place:
    """Of a few random places the one where least lies yet: packers fill gaps."""
    height, width = scene.depth.shape[1:]
    reach = int(item.reach * scene.scale / 2)

    def filled(place: Place) -> float:
        x, y = np.clip(place, 0, (width - 1, height - 1)).astype(int)
        near = scene.depth[1, max(y - reach, 0) : y + reach : 4, max(x - reach, 0) : x + reach : 4]
        return float(near.mean())

    return min((scene.place(item.reach) for _ in range(3)), key=filled)
