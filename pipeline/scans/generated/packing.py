"""The scene of a scan, and the places and poses of the objects packed into it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.scans.generated.items import CLOTHES, ITEM_SETS, TRADE_GOODS, Item, Packed
from pipeline.scans.generated.shapes import Floats, Pose, Rng, Tile
from pipeline.scans.generated.textures import Textures
from pipeline.scans.scan import Mask

Place = NDArray[np.float64]  # (2,) x and y

SILHOUETTE_DEPTH = 0.02  # at the high energy; smaller depths come from antialiasing and smear
DEPTH_CM = 2.5  # depth of a typical object, which smears the edges of a tilted object
MAX_SMEAR = 4.0  # pixels
OUTLINE_STEP = 3  # pixels between the points that give an object's extent
NEAR_CM = 5.0  # distance from a place within which `_filled` measures depth


@dataclass
class Scene:
    """The container and the objects packed into it so far.

    Attributes:
        depth: (2, H, W) float32, optical depth at the low and the high energy.
        room: half width and half height, cm, inside the container, along its own axes.
        axes: (2, 2) matrix from cm along the container's axes to pixels.
        scale: pixels per cm.
        packed: (2,) share of the room along each axis that is packed; the other end is empty.
        is_parcel: whether the container is a parcel; if not, it is a bag.
        textures: the scan's textures, such as cloth and grain.
        rng: the scan's random generator.
    """

    depth: Floats
    room: Place
    axes: NDArray[np.float64]
    scale: float
    packed: Place
    is_parcel: bool
    textures: Textures
    rng: Rng

    def draw(self, item: Item, pose: Pose) -> Floats:
        """Return the tile (2, side, side) of one object of a kind."""
        tile = Tile(item.reach, pose, self.textures)
        item.draw(tile, self.rng)
        return tile.finished()

    def add(self, tile: Floats, centre: Place) -> Mask:
        """Add a tile at `centre`, in cm from the middle; return its silhouette (H, W)."""
        height, width = self.depth.shape[1:]
        side = tile.shape[1]
        x, y = self.axes @ centre + (width / 2, height / 2)
        left, top = int(x) - side // 2, int(y) - side // 2
        rows = slice(max(top, 0), max(min(top + side, height), 0))
        columns = slice(max(left, 0), max(min(left + side, width), 0))
        part = tile[
            :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        self.depth[:, rows, columns] += part
        silhouette = np.zeros((height, width), dtype=np.bool_)
        silhouette[rows, columns] = part[1] > SILHOUETTE_DEPTH
        return silhouette

    def limits(self, tile: Floats) -> tuple[Place, Place]:
        """Return the lowest and the highest centre, cm, that keep a tile's object inside."""
        coarse = tile[1, ::OUTLINE_STEP, ::OUTLINE_STEP] > SILHOUETTE_DEPTH
        rows, columns = np.nonzero(coarse)
        offsets = np.stack([columns, rows]) * OUTLINE_STEP - tile.shape[1] / 2
        local = np.linalg.inv(self.axes) @ offsets  # (2, N)
        lowest, highest = -self.room - local.min(axis=1), self.room - local.max(axis=1)
        middle = (lowest + highest) / 2  # where the object is larger than the room
        return np.minimum(lowest, middle), np.maximum(highest, middle)

    def hide(self, item: Item, pose: Pose) -> Mask:
        """Draw an object and add it at a random place in the container."""
        tile = self.draw(item, pose)
        lowest, highest = self.limits(tile)
        return self.add(tile, lowest + (highest - lowest) * self.rng.beta(0.45, 0.45, 2))

    def place(self, tile: Floats, tries: int) -> Place:
        """Return the emptiest of `tries` random centres of an object in the packed room, cm."""
        lowest, highest = self.limits(tile)
        shares = self.packed * self.rng.beta(0.8, 0.8, (tries, 2))
        return min(lowest + (highest - lowest) * shares, key=self._filled)

    def lie_flat(self) -> Pose:
        """Return the pose of an object that lies flat, nearly along or across the container."""
        along = np.arctan2(self.axes[1, 0], self.axes[0, 0])
        turn = self.rng.integers(4) * np.pi / 2 + self.rng.normal(0, 0.08)
        return self.pose(0.2, float(along + turn))

    def pose(self, tilt: float, angle: float | None = None) -> Pose:
        """Return a random pose, rotated out of the image plane by up to `tilt` radians."""
        lean = self.rng.uniform(0, tilt)
        return Pose(
            scale=self.scale,
            angle=self.rng.uniform(0, 2 * np.pi) if angle is None else angle,
            squash=float(np.cos(lean)),
            mirrored=bool(self.rng.random() < 0.5),
            smear=min(float(np.sin(lean)) * DEPTH_CM * self.scale, MAX_SMEAR),
        )

    def _filled(self, place: Place) -> float:
        """Return the mean optical depth at the high energy around a place in cm."""
        x, y = (self.axes @ place + np.array(self.depth.shape[:0:-1]) / 2).astype(int)
        reach = int(NEAR_CM * self.scale)
        near = self.depth[1, max(y - reach, 0) : y + reach : 4, max(x - reach, 0) : x + reach : 4]
        return float(near.mean())


def pack_bag(scene: Scene) -> None:
    """Pack piles of clothes, and among them the things of one trip, each kind together."""
    rng = scene.rng
    for _ in range(rng.integers(6, 11)):
        lay_clothes(scene, int(rng.integers(2, 5)))
    trips = list(ITEM_SETS.values())
    for kind in trips[rng.integers(len(trips))]:
        lay_together(scene, kind)


def pack_parcel(scene: Scene) -> None:
    """Pack rows of equal trade goods of a few kinds."""
    rng = scene.rng
    for index in rng.choice(len(TRADE_GOODS), rng.integers(3, 6), replace=False):
        _stack(scene, TRADE_GOODS[index], int(rng.integers(4, 13)))


def lay_clothes(scene: Scene, count: int) -> None:
    """Add a pile of folded garments, nearly one above the other."""
    centre = None
    for _ in range(count):
        tile = scene.draw(CLOTHES, scene.lie_flat())
        centre = scene.place(tile, 6) if centre is None else centre + scene.rng.normal(0, 2, 2)
        scene.add(tile, np.clip(centre, *scene.limits(tile)))


def lay_together(scene: Scene, kind: Packed) -> None:
    """Add a kind's pieces side by side: equal in pose, each as far on as the pieces are wide."""
    rng, item = scene.rng, kind.item
    pose = scene.lie_flat() if item.is_flat else scene.pose(0.9)
    centre, step = None, rng.uniform(-0.35, 0.35, 2) * item.reach
    for _ in range(rng.integers(kind.least, kind.most + 1)):
        turned = replace(pose, angle=pose.angle + float(rng.normal(0, 0.1)))
        tile = scene.draw(item, turned)
        centre = scene.place(tile, 8) if centre is None else centre + step
        scene.add(tile, np.clip(centre, *scene.limits(tile)))


def _stack(scene: Scene, item: Item, count: int) -> None:
    """Add rows of equal pieces from a random place on, up to the container's walls."""
    rng = scene.rng
    turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.3 else rng.integers(4) * np.pi / 2
    pose = scene.pose(0.9, angle=float(turn + rng.normal(0, 0.04)))
    tile = scene.draw(item, pose)
    lowest, highest = scene.limits(tile)
    start, columns = rng.uniform(lowest, highest), int(rng.integers(1, 4))
    step = item.reach * rng.uniform(0.5, 1.1, 2) * rng.choice((-1, 1), 2)
    for index in range(count):
        centre = start + step * (index % columns, index // columns)
        if (centre >= lowest).all() and (centre <= highest).all():
            scene.add(tile, centre)
