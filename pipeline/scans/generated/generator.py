"""Composes a scan: packs a bag or a parcel, perhaps with a threat, and renders its image."""

import numpy as np

from pipeline.scans.generated.containers import BAGS, parcel
from pipeline.scans.generated.items import THREATS
from pipeline.scans.generated.packing import Scene, pack_bag, pack_parcel
from pipeline.scans.generated.shapes import Floats, Pose, Rng, Tile
from pipeline.scans.generated.textures import Textures
from pipeline.scans.generated.xray_detector import expose
from pipeline.scans.scan import Region, Scan

# Six of ten scans are normal; each of the other four has threats of one class.
CYCLE: tuple[str | None, ...] = (None,) * 6 + ("knife", "gun", "gun_part", "full_weapon")
PARCEL_PLACES = (2, 9)  # indices in `CYCLE` of parcels: full weapons, and a sixth of normals

BAG_SIZE = (58, 40), (74, 52)  # cm, smallest and largest length and breadth
PARCEL_SIZE = (80, 44), (92, 58)
MARGIN = 5  # pixels of air around the container
MAX_TURN = 1.2  # radians between the container and the belt


def threat_of(number: int) -> str | None:
    """Return the class of the threats in scan `number`; None for a normal scan."""
    return CYCLE[number % len(CYCLE)]


def render_scan(seed: int, number: int) -> Scan:
    """Render scan `number` of the set `seed`; the bytes are the same at any time on one machine.

    Other vector instructions round otherwise: a few pixels of a scan differ, by up to 3 of 255.

    The image is (H, W, 3) RGB, sides of 300 to 800 pixels, air 240 or more in every channel.
    """
    scene, regions = begin_scan(seed, number)
    (pack_parcel if scene.is_parcel else pack_bag)(scene)
    return Scan(f"{number:05d}", expose(scene.depth, scene.rng), regions)


def begin_scan(seed: int, number: int) -> tuple[Scene, tuple[Region, ...]]:
    """Return a scan's container with its threats, before benign objects, and the regions."""
    rng = np.random.default_rng([seed, number])
    scene = _empty(rng, number % len(CYCLE) in PARCEL_PLACES)
    threat = threat_of(number)
    return scene, () if threat is None else _hide(scene, threat)


def _empty(rng: Rng, in_parcel: bool) -> Scene:
    """Return a scene with an empty container, lying at a random turn, in an image that fits it."""
    length, breadth = rng.uniform(*(PARCEL_SIZE if in_parcel else BAG_SIZE)).tolist()
    scale = float(rng.uniform(7.0, 7.6))
    turn = rng.uniform(-MAX_TURN, MAX_TURN) * (0.3 if in_parcel else 1)
    # Containers are drawn upright, but lie on their long side, as on a belt.
    angle = turn + (np.pi / 2 if rng.random() < 0.5 else -np.pi / 2)
    pose = Pose(scale, float(angle), mirrored=bool(rng.random() < 0.5))
    textures = Textures(rng)
    tile = Tile(np.hypot(length, breadth) / 2 + 8, pose, textures)
    draw = parcel if in_parcel else BAGS[rng.integers(len(BAGS))]
    room = np.abs(draw(tile, rng, breadth, length)).max(axis=0)
    drawn = tile.finished()
    packed = np.array([1, rng.uniform(0.6, 1)])
    depth = np.zeros((2, *_size(drawn)), np.float32)
    scene = Scene(depth, room, pose.matrix(), scale, packed, in_parcel, textures, rng)
    scene.add(drawn, np.zeros(2))
    return scene


def _size(tile: Floats) -> tuple[int, int]:
    """Return height and width, pixels, of an image whose middle is the tile's, and that fits it."""
    from_middle = np.abs(np.argwhere(tile[1] > 0) - tile.shape[1] // 2)
    height, width = (2 * (from_middle.max(axis=0) + MARGIN)).tolist()
    return height, width


def _hide(scene: Scene, class_name: str) -> tuple[Region, ...]:
    """Put one threat of a class into the scene, now and then two."""
    rng, kinds = scene.rng, THREATS[class_name]
    regions = []
    for _ in range(2 if rng.random() < 0.2 else 1):
        item = kinds[rng.integers(len(kinds))]
        long_gun = item.reach > 30
        # A long gun fits into a parcel only along the parcel's length.
        angle = rng.normal(0, 0.25) + np.pi * rng.integers(2) if long_gun else None
        tilt = 1.35 if class_name == "knife" and rng.random() < 0.3 else 0.8
        regions.append(Region(class_name, scene.hide(item, scene.pose(tilt, angle))))
    return tuple(regions)
