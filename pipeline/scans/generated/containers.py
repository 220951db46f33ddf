"""Empty bags and parcels, seen at a slant: walls, frames, wheels, rods, zips. Sizes in cm."""

import numpy as np
from numpy.typing import NDArray

from pipeline.scans.generated.shapes import Point, Rng, Tile, ellipse, rounded, smooth

Outline = NDArray[np.float64]


def slanted(rng: Rng, outline: Outline, most: float) -> tuple[Outline, Outline]:
    """Return the front and the back of a box that the beam crosses at a slant.

    They are an outline (N, 2) moved apart by 0.3 to 1 times `most`.
    """
    turn, shift = rng.uniform(0, 2 * np.pi), most * rng.uniform(0.3, 1)
    half = np.array([np.cos(turn), np.sin(turn)]) * shift / 2
    return outline + half, outline - half


def side_walls(tile: Tile, front: Outline, back: Outline, wall: float, material: str) -> None:
    """Draw the four walls between front and back, whose points are from `rounded`."""
    for start in range(3, 24, 6):
        side = [(start + step) % 24 for step in range(7)]
        tile.polygon(np.concatenate([front[side], back[side[::-1]]]), wall, material)


def screws(tile: Tile, rng: Rng, points: Outline) -> None:
    """Draw screws that stand in a wall, all seen at the same slant."""
    turn, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.6)
    along = np.array([np.cos(turn), np.sin(turn)]) * length
    for point in points:
        tile.rod(tuple(point), tuple(point + along), 0.2, "steel")
        tile.disc(tuple(point), 0.42, 0.25, "steel")


def zip_line(tile: Tile, rng: Rng, line: Outline) -> None:
    """Draw a zip: two tapes, fine teeth, and pulls of zinc."""
    tile.wire(line, 0.8, "pvc", thickness=0.9)
    tile.wire(line, 0.1, "zinc", thickness=0.12)
    for x, y in line[rng.integers(0, len(line), 2)]:
        turn = rng.uniform(0, 2 * np.pi)
        end = (x + 2.4 * np.cos(turn), y + 2.4 * np.sin(turn))
        tile.box((x, y), (1.1, 0.8), 0.35, "zinc")
        tile.wire([(x, y), end], 0.3, "zinc", thickness=0.3)


def wheel(tile: Tile, rng: Rng, centre: Point) -> None:
    """Draw a castor: tyre, steel hub and fork, its screws."""
    x, y = centre
    tile.box(centre, (2.6, 6), 1.4, "nylon", 1)
    tile.box(centre, (2.2, 5.6), 1.2, "pvc", 0.8)
    tile.rod((x - 1.6, y + 1), (x + 1.6, y + 1), 0.4, "steel")
    tile.box((x, y - 2), (3, 0.8), 0.12, "steel")
    screws(tile, rng, np.array([(x - 0.9, y - 2), (x + 0.9, y - 2), (x, y + 1.2)]))


def rods(tile: Tile, rng: Rng, width: float, height: float) -> None:
    """Draw the telescopic handle: two pairs of flat tubes, guides, a grip, and its screws."""
    metal, wall = ("aluminium", 0.16) if rng.random() < 0.5 else ("steel", 0.06)
    gap, top = width * 0.17, -height * 0.48
    for side in (-1, 1):
        x = side * gap
        for breadth, foot in ((2.6, 0.46), (1.8, rng.uniform(-0.2, 0.4))):
            outline = rounded((x, (top + height * foot) / 2), breadth, height * foot - top, 0.2)
            tile.shell(outline, wall, 1.1, metal)
        tile.wire([(x, top), (x, height * 0.2)], 0.12, "steel")
        tile.box((x, height * 0.44), (3.6, 3), 0.9, "nylon")
        heights = np.array([-0.45, -0.15, 0.15, 0.4]) * height
        screws(tile, rng, np.stack([np.full(4, x + 1.9 * side), heights], axis=1))
    tile.box((0, top - 0.6), (2 * gap + 4, 2.2), 1.4, "nylon", 1)
    tile.box((0, height * 0.44), (2 * gap, 2), 0.12, metal)


def handle(tile: Tile, centre: Point, length: float, across: bool) -> None:
    """Draw a carrying handle: a bow of rubber round a steel band, on two plates."""
    bow = np.array([(-0.5, 0), (-0.4, -0.2), (0.4, -0.2), (0.5, 0)]) * length
    if across:
        bow = bow[:, ::-1]
    bow = smooth(bow + centre, closed=False)
    tile.wire(bow, 0.8, "rubber", thickness=0.8)
    tile.wire(bow, 0.3, "steel", thickness=0.2)
    for end in (bow[0], bow[-1]):
        tile.box(tuple(end), (2.2, 2.2), 0.15, "steel", 0.4)


def cloth_walls(tile: Tile, rng: Rng, front: Outline, back: Outline, cloth: str) -> None:
    """Draw front and back of a soft bag, a coated lining, and a pocket with a zip."""
    for face in (front, back):
        tile.polygon(face, rng.uniform(1.5, 3), cloth, "folds")
        tile.polygon(face, rng.uniform(0.1, 0.3), "pvc")
        tile.wire(face, 0.25, "nylon", closed=True, thickness=rng.uniform(0.6, 1.5))
    low, high = front.min(axis=0), front.max(axis=0)
    middle, size = (low + high) / 2, (high - low) * rng.uniform(0.45, 0.7, 2)
    pocket = rounded(tuple(middle), size[0], size[1], 2.5)
    tile.polygon(pocket, 1, cloth, "folds")
    tile.wire(pocket, 0.15, "nylon", closed=True, thickness=0.6)
    zip_line(tile, rng, pocket[:12])


def trolley(tile: Tile, rng: Rng, width: float, height: float) -> Outline:
    """Draw a suitcase: plastic or cloth, with rods, wheels, handles and screws."""
    outline = rounded((0, 0), width, height, rng.uniform(3, 6))
    front, back = slanted(rng, outline, 0.35 * width)
    if rng.random() < 0.5:
        plastic_walls(tile, front, back)
    else:
        cloth_walls(tile, rng, front, back, "polyester")
        side_walls(tile, front, back, 2, "polyester")
        for face in (front, back):
            for share in (0.98, 0.95):
                tile.wire(face * share, 0.11, "steel", closed=True)  # the frame
    zip_line(tile, rng, (front + back) / 2)
    undercarriage(tile.at(*(back[0] - outline[0])), rng, width, height)
    handle(tile, (0, -height / 2), 14, across=False)
    handle(tile, (-width / 2, 0), 14, across=True)
    for face in (front, back):
        tile.polygon(face * 0.97, rng.uniform(7, 14), "cotton", "folds")  # lining and padding
    return outline * 0.93


def plastic_walls(tile: Tile, front: Outline, back: Outline) -> None:
    """Draw the walls of a hard suitcase, and its ribs."""
    for face in (front, back):
        tile.shell(face, 0.25, 3, "plastic")
        tile.polygon(face, 0.15, "pvc")
    side_walls(tile, front, back, 0.5, "plastic")
    low, high = front.min(axis=0), front.max(axis=0)
    for share in np.linspace(0.1, 0.9, 7):
        x = low[0] + share * (high[0] - low[0])
        tile.wire([(x, low[1] + 2), (x, high[1] - 2)], 0.2, "plastic", thickness=0.5)


def undercarriage(tile: Tile, rng: Rng, width: float, height: float) -> None:
    """Draw the fittings of a suitcase's back: rods, two or four wheels, rows of screws."""
    if rng.random() < 0.8:
        rods(tile, rng, width, height)
    ends = (-1, 1) if rng.random() < 0.4 else (1,)
    heights = np.linspace(-0.46, 0.46, 8) * height
    for side in (-1, 1):
        for end in ends:
            wheel(tile, rng, (side * width * 0.4, end * (height * 0.5 + 2)))
        for x in (0.36, 0.44):
            places = np.stack([np.full(8, side * width * x), heights], axis=1)
            screws(tile, rng, places + rng.normal(0, 0.8, (8, 2)))


def soft_bag(tile: Tile, rng: Rng, width: float, height: float) -> Outline:
    """Draw a backpack or holdall: crumpled cloth, straps, buckles, zips, eyelets."""
    jitter = rng.uniform(0.94, 1.06, (24, 1))
    outline = rounded((0, 0), width, height, min(width, height) * 0.35) * jitter
    front, back = slanted(rng, smooth(outline), 0.15 * width)
    cloth_walls(tile, rng, front, back, str(rng.choice(["polyester", "cotton"])))
    tile.polygon(front * 0.9, rng.uniform(12, 22), "cotton", "folds")
    zip_line(tile, rng, front[8:60] * 0.95)
    for side in (-1, 1):
        x = side * width * rng.uniform(0.15, 0.35)
        sway = rng.uniform(-4, 4, 4)
        strap = [(x + s, y * height) for s, y in zip(sway, (-0.45, -0.2, 0.2, 0.5), strict=True)]
        tile.wire(smooth(strap, closed=False), 1.6, "nylon", thickness=0.4)
        tile.wire(rounded((x + sway[3], 0.48 * height), 3.6, 2.4, 0.4), 0.22, "zinc", closed=True)
    handle(tile, (0, -height / 2), 11, across=False)
    for x, y in rng.uniform(-0.42, 0.42, (6, 2)) * (width, height):
        tile.wire(ellipse((x, y), 0.7, 0.5, 12), 0.14, "brass", closed=True)
    return outline * 0.85


def briefcase(tile: Tile, rng: Rng, width: float, height: float) -> Outline:
    """Draw a hard case: an aluminium frame, two locks, hinges, a handle, padding."""
    outline = rounded((0, 0), width, height, 1.6)
    front, back = slanted(rng, outline, 0.12 * width)
    for face in (front, back):
        tile.shell(face, 0.25, 2, "plastic")
        tile.polygon(face * 0.96, rng.uniform(4, 9), "cotton", "folds")
    side_walls(tile, front, back, 0.5, "plastic")
    tile.wire((front + back) / 2, 0.5, "aluminium", closed=True, thickness=1.2)
    for side in (-1, 1):
        x = side * width * 0.33
        tile.box((x, -height / 2 + 1), (4, 2), 0.2, "zinc", 0.3)
        tile.rod((x - 1.5, height / 2 - 0.4), (x + 1.5, height / 2 - 0.4), 0.4, "steel")
    handle(tile, (0, -height / 2), 13, across=False)
    screws(tile, rng, front[::3] * 0.97)
    return outline * 0.93


def parcel(tile: Tile, rng: Rng, width: float, height: float) -> Outline:
    """Draw a box of corrugated board: two faces, apart as seen at a slant, edges, flaps, tape."""
    slant = rng.uniform(-2.2, 2.2, 2)
    front = rounded(tuple(slant), width, height, 0.3)
    back = rounded(tuple(-slant), width * 0.97, height * 0.97, 0.3)
    for face in (front, back):
        tile.polygon(face, rng.uniform(0.5, 1.0), "board", "weave")
        tile.wire(face, 0.25, "board", closed=True, thickness=rng.uniform(8, 16))
    for corner in range(0, 24, 6):
        tile.wire([front[corner + 3], back[corner + 3]], 0.3, "board", thickness=8)
    flap = rng.uniform(-0.1, 0.1) * height
    tile.wire([(-width / 2, flap), (width / 2, flap)], 0.2, "board", thickness=6)
    tile.box((0, flap), (width, 5), 0.03, "pvc")
    filler, cm = (("paper", 4), ("cotton", 20), ("board", 24))[rng.integers(3)]
    stuffed = front * rng.uniform(0.9, 0.98, 2)
    tile.polygon(stuffed, cm * rng.uniform(1, 2.5), filler, str(rng.choice(["grain", "folds"])))
    return (front - slant) * 0.95


BAGS = (trolley, trolley, trolley, soft_bag, soft_bag, briefcase)
