"""Composes a scan: packs a bag or a parcel, perhaps with a threat, and renders its image."""

import numpy as np

from pipeline.common.names import Image
from pipeline.scans.generated.catalogue import THREATS
from pipeline.scans.generated.containers import BAGS, parcel
from pipeline.scans.generated.detector import expose
from pipeline.scans.generated.packing import Scene, pack_bag, pack_parcel
from pipeline.scans.generated.shapes import Pose, Tile
from pipeline.scans.generated.textures import Textures
from pipeline.scans.scan import Region, Scan

Rng = np.random.Generator

# Six of ten scans are normal; each of the other four has threats of one class.
CYCLE: tuple[str | None, ...] = (None,) * 6 + ("knife", "gun", "gun_part", "full_weapon")
PARCEL_PLACES = (2, 5, 9)  # indices in `CYCLE` of parcels: full weapons, and a third of normals

BAG_MARGIN = 22  # pixels around the container, for its wheels and handles
PARCEL_MARGIN = 7


def threat_of(number: int) -> str | None:
    """Return the class of the threats in scan `number`; None for a normal scan."""
    return CYCLE[number % len(CYCLE)]


def render_scan(seed: int, number: int) -> Scan:
    """Render scan `number` of the set `seed`; the bytes are the same at any time on any machine.

    The image is (380 to 560, 560 to 760, 3) RGB, air 240 or more in every channel.
    """
    scene, regions = begin_scan(seed, number)
    return Scan(f"{number:05d}", finish_scan(scene), regions)


def begin_scan(seed: int, number: int) -> tuple[Scene, tuple[Region, ...]]:
    """Return a scan's container with its threats, and its regions, which depend on nothing else."""
    rng = np.random.default_rng([seed, number])
    scene = _empty(rng, number % len(CYCLE) in PARCEL_PLACES)
    threat = threat_of(number)
    return scene, () if threat is None else _hide(scene, threat)


def finish_scan(scene: Scene) -> Image:
    """Pack benign objects into a scan of `begin_scan`, and return its image."""
    (pack_parcel if scene.is_parcel else pack_bag)(scene)
    return expose(scene.depth, scene.rng)


def _empty(rng: Rng, in_parcel: bool) -> Scene:
    """Return a scene with an empty container, which fills an image of random size."""
    size = rng.integers((560, 380), (761, 561))
    scale = float(rng.uniform(5.4, 6.4) if in_parcel else rng.uniform(5.9, 7.2))
    turn = rng.normal(0, 0.07)
    lean = np.abs([[np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    room = size - 2 * (PARCEL_MARGIN if in_parcel else BAG_MARGIN)
    length, breadth = (room * (room / (lean @ room)).min() / scale).tolist()
    # Containers are drawn upright, but lie on their long side, as on a belt.
    angle = turn + (np.pi / 2 if rng.random() < 0.5 else -np.pi / 2)
    pose = Pose(scale, float(angle), mirrored=bool(rng.random() < 0.5))
    textures = Textures(rng)
    tile = Tile(np.hypot(length, breadth) / 2 + 5, pose, textures)
    draw = parcel if in_parcel else BAGS[rng.integers(len(BAGS))]
    room = np.abs(draw(tile, rng, breadth, length)).max(axis=0)
    depth = np.zeros((2, size[1], size[0]), np.float32)
    scene = Scene(depth, room, pose.matrix(), scale, in_parcel, textures, rng)
    scene.add(tile.finished(), np.zeros(2))
    return scene


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
        regions.append(Region(class_name, scene.put(item, scene.pose(tilt, angle))))
    return tuple(regions)
