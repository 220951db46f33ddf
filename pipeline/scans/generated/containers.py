"""Empty bags and parcels: walls, frames, wheels, rods, zips, seams. Sizes in cm."""

import numpy as np
from numpy.typing import NDArray

from pipeline.scans.generated.shapes import Point, Tile, ellipse, rounded, smooth

Rng = np.random.Generator
Outline = NDArray[np.float64]


def studs(tile: Tile, rng: Rng, points: Outline) -> None:
    """Draw rivets, screws and eyelets at points."""
    for x, y in points:
        radius, metal = rng.uniform(0.25, 0.5), str(rng.choice(["steel", "brass", "zinc"]))
        if rng.random() < 0.5:
            tile.disc((x, y), radius, rng.uniform(0.2, 0.7), metal)
        else:
            tile.wire(ellipse((x, y), radius * 1.4, radius * 1.1, 12), 0.12, metal, closed=True)


def zip_line(tile: Tile, rng: Rng, line: Outline) -> None:
    """Draw a zip: two tapes, fine teeth, and a pull or two of zinc."""
    tile.wire(line, 0.5, "nylon", thickness=0.15)
    tile.wire(line, 0.1, str(rng.choice(["nylon", "zinc", "brass"])), thickness=0.1)
    for x, y in line[rng.integers(0, len(line), rng.integers(1, 4))]:
        turn = rng.uniform(0, 2 * np.pi)
        end = (x + 2.6 * np.cos(turn), y + 2.6 * np.sin(turn))
        tile.box((x, y), (1.1, 0.9), 0.3, "zinc")
        tile.wire([(x, y), end], 0.38, "zinc", thickness=0.22)
        tile.disc(end, 0.4, -0.18, "zinc")


def wheel(tile: Tile, rng: Rng, centre: Point, radius: float) -> None:
    """Draw a castor: tyre, hub with a steel bearing, fork with its screws."""
    tile.disc(centre, radius, 1.8, "nylon")
    tile.wire(ellipse(centre, radius, radius), 0.35, "rubber", closed=True, thickness=2.2)
    tile.disc(centre, radius * 0.4, 1.0, "steel")
    x, y = centre
    tile.box((x, y), (radius * 0.5, radius * 2.4), 0.35, "steel")
    studs(tile, rng, np.array([(x, y + radius), (x + 0.8, y - radius), (x - 1.2, y - radius)]))


def rods(tile: Tile, rng: Rng, width: float, height: float) -> None:
    """Draw the telescopic handle: two pairs of aluminium or steel tubes, guides and a grip."""
    metal, wall = ("aluminium", 0.14) if rng.random() < 0.7 else ("steel", 0.05)
    gap, top = width * rng.uniform(0.16, 0.24), -height * 0.48
    for side in (-1, 1):
        x = side * gap
        for radius, foot in ((1.25, 0.46), (0.95, rng.uniform(0.1, 0.4))):
            tile.rod((x, top), (x, height * foot), radius, metal, radius - wall)
        tile.box((x, height * 0.43), (3.4, 3), 0.9, "nylon")
        studs(tile, rng, np.array([(x, y * height) for y in (-0.4, -0.1, 0.2, 0.4)]))
    tile.box((0, top - 0.6), (2 * gap + 4, 2.4), 1.4, "nylon", 1)
    tile.rod((-gap, top), (gap, top), 0.3, "steel")
    tile.box((0, height * 0.44), (2 * gap, 1.4), 0.25, metal)


def cloth_walls(tile: Tile, rng: Rng, outline: Outline, cloth: str) -> None:
    """Draw front and back of a soft bag, their piping and seams a little apart, pockets."""
    tile.polygon(outline, rng.uniform(0.3, 0.7) * 4, cloth, "folds")
    for share in rng.uniform(0.86, 1.0, 4):
        seam = outline * share + rng.uniform(-0.8, 0.8, 2)
        tile.wire(
            seam, rng.uniform(0.1, 0.3), "nylon", closed=True, thickness=rng.uniform(0.4, 1.5)
        )
    low, high = outline.min(axis=0), outline.max(axis=0)
    for _ in range(rng.integers(1, 3)):
        size = (high - low) * rng.uniform(0.35, 0.7, 2)
        centre = tuple(rng.uniform(-0.12, 0.12, 2) * (high - low))
        pocket = rounded(centre, size[0], size[1], 2.5)
        tile.polygon(pocket, rng.uniform(0.6, 1.6), cloth, "folds")
        tile.wire(pocket, 0.12, "nylon", closed=True, thickness=0.6)
        zip_line(tile, rng, pocket[:12])


def trolley(tile: Tile, rng: Rng, width: float, height: float) -> Outline:
    """Draw a suitcase: plastic or cloth, wire frame, rods, wheels, handles, corner plates."""
    outline = rounded((0, 0), width, height, rng.uniform(3, 6))
    if rng.random() < 0.5:
        tile.shell(outline, rng.uniform(0.18, 0.32), 4, "plastic")
        for x in np.linspace(-0.4, 0.4, rng.integers(5, 9)) * width:
            tile.wire([(x, -0.46 * height), (x, 0.46 * height)], 0.2, "plastic", thickness=0.4)
    else:
        cloth_walls(tile, rng, outline, "polyester")
    for share in rng.uniform(0.9, 0.99, rng.integers(1, 4)):
        frame = rounded(tuple(rng.uniform(-0.8, 0.8, 2)), width * share, height * share, 4)
        tile.wire(frame, rng.uniform(0.07, 0.14), "steel", closed=True)
    zip_line(tile, rng, rounded((0, 0), width * 0.98, height * 0.98, 4))
    if rng.random() < 0.8:
        rods(tile, rng, width, height)
    for side in (-1, 1):
        for y in (-1, 1) if rng.random() < 0.4 else (1,):
            place = (side * width * 0.4, y * (height * 0.5 + 1))
            wheel(tile, rng, place, rng.uniform(1.8, 2.8))
            tile.box((place[0], y * height * 0.46), (5, 4), 0.08, "steel", 1)
    grip = [(-8, -height / 2), (-6.5, -height / 2 - 3), (6.5, -height / 2 - 3), (8, -height / 2)]
    tile.wire(smooth(grip, closed=False), 0.7, "rubber", thickness=0.8)
    tile.wire(smooth(grip, closed=False), 0.25, "steel", thickness=0.15)
    studs(tile, rng, outline[::2] * 0.94)
    tile.polygon(outline * 0.97, rng.uniform(1, 9), "cotton", "folds")  # lining and soft filling
    return outline * 0.95


def soft_bag(tile: Tile, rng: Rng, width: float, height: float) -> Outline:
    """Draw a backpack or holdall: crumpled cloth, straps, buckles, zips, a padded back."""
    jitter = rng.uniform(0.94, 1.1, (24, 1))
    outline = smooth(rounded((0, 0), width, height, min(width, height) * 0.35) * jitter)
    cloth_walls(tile, rng, outline, str(rng.choice(["polyester", "cotton"])))
    if rng.random() < 0.6:
        tile.polygon(outline * (0.8, 0.86), rng.uniform(0.3, 0.9), "foam", "weave")
    tile.polygon(outline * 0.93, rng.uniform(1, 9), "cotton", "folds")
    zip_line(tile, rng, outline[8:70] * 0.93)
    for side in (-1, 1):
        x = side * width * rng.uniform(0.15, 0.35)
        sway = rng.uniform(-6, 6, 4)
        strap = [(x + s, y * height) for s, y in zip(sway, (-0.45, -0.2, 0.2, 0.52), strict=True)]
        tile.wire(smooth(strap, closed=False), 1.4, "nylon", thickness=0.35)
        tile.wire(rounded((x + sway[3], 0.5 * height), 4.2, 2.8, 0.4), 0.3,
                  str(rng.choice(["nylon", "zinc", "steel"])), closed=True)  # fmt: skip
    arch = [
        (-6, -height / 2 + 1),
        (-5, -height / 2 - 4),
        (5, -height / 2 - 4),
        (6, -height / 2 + 1),
    ]
    tile.wire(smooth(arch, closed=False), 0.8, "nylon", thickness=0.4)
    studs(tile, rng, rng.uniform(-0.42, 0.42, (rng.integers(4, 14), 2)) * (width, height))
    return outline * 0.85


def briefcase(tile: Tile, rng: Rng, width: float, height: float) -> Outline:
    """Draw a hard case: an aluminium frame, two locks, hinges, a handle, egg-crate foam."""
    outline = rounded((0, 0), width, height, 1.6)
    tile.shell(outline, 0.2, 3, "plastic")
    tile.wire(outline * 0.985, 0.35, "aluminium", closed=True, thickness=1.2)
    tile.polygon(outline * 0.96, rng.uniform(2, 8), "foam", "weave")
    for side in (-1, 1):
        x = side * width * 0.33
        tile.box((x, -height / 2 + 1), (4, 2), 0.25, "zinc", 0.3)
        tile.rod((x - 1.5, height / 2 - 0.4), (x + 1.5, height / 2 - 0.4), 0.45, "steel")
    grip = [(-6, -height / 2), (-5, -height / 2 - 3), (5, -height / 2 - 3), (6, -height / 2)]
    tile.wire(smooth(grip, closed=False), 0.6, "plastic", thickness=1)
    studs(tile, rng, outline[::3] * 0.97)
    return outline * 0.94


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
    studs(tile, rng, np.array([(s * width * 0.46, flap + t) for s in (-1, 1) for t in (-1.5, 1.5)]))
    filler, cm = (("paper", 4), ("foam", 25), ("board", 20))[rng.integers(3)]
    stuffed = front * rng.uniform(0.9, 0.98, 2)
    tile.polygon(
        stuffed, cm * rng.uniform(0.1, 1), filler, str(rng.choice(["grain", "folds", "ribs"]))
    )
    return (front - slant) * 0.95


BAGS = (trolley, trolley, soft_bag, soft_bag, briefcase)
