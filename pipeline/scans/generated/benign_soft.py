"""Benign things of cloth, paper, plastic, food and liquid. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.shapes import Rng, Tile, ellipse, rounded, smooth


def blob(rng: Rng, rx: float, ry: float, roughness: float) -> np.ndarray:
    """Return an irregular smooth outline about the origin; its corners move by `roughness`."""
    points = ellipse((0, 0), rx, ry, 9)
    return smooth(points * rng.uniform(1 - roughness, 1 + roughness, (9, 1)))


def clothes(tile: Tile, rng: Rng) -> None:
    """Draw a folded garment: layers of cloth, each a little out of line, their hems, buttons."""
    cloth = str(rng.choice(["cotton", "cotton", "polyester"]))
    outline = rounded((0, 0), rng.uniform(20, 30), rng.uniform(14, 20), 2.5)
    if rng.random() < 0.4:
        outline = blob(rng, 13, 9, 0.25)
    for _ in range(3):
        layer = outline * rng.uniform(0.75, 1.0, 2) + rng.uniform(-1, 1, 2)
        tile.polygon(layer, rng.uniform(0.7, 1.8), cloth, "folds")
        tile.wire(layer, 0.1, cloth, closed=True, thickness=2)
    if rng.random() < 0.4:
        for x in np.linspace(-8, 8, 6):
            tile.disc((x, 1), 0.5, 0.3, "pvc")
    else:  # a zip and rivets, as of jeans
        x, y = rng.uniform(-5, 5, 2)
        tile.wire([(x, y), (x + 7, y + 1)], 0.25, "brass", thickness=0.15)
        for rivet in rng.uniform(-8, 8, (4, 2)):
            tile.disc(tuple(rivet), 0.45, 0.3, "brass")


def roll(tile: Tile, rng: Rng) -> None:
    """Draw a rolled towel or socks: a soft cylinder."""
    length, radius = rng.uniform(8, 24), rng.uniform(2, 4.5)
    tile.rod((-length / 2, 0), (length / 2, 0), radius, "cotton")
    for _ in range(4):
        side = rng.uniform(-radius, radius)
        line = [(-length / 2, side), (0, side + rng.uniform(-0.5, 0.5)), (length / 2, side)]
        tile.wire(line, 0.1, "cotton", thickness=3.0)


def shoe(tile: Tile, rng: Rng) -> None:
    """Draw a shoe from above or from its side, with eyelets and at times a steel shank."""
    length = rng.uniform(21, 29)
    x = np.array([-0.5, -0.46, -0.2, 0.15, 0.4, 0.5, 0.42, 0.15, -0.2, -0.46]) * length
    y = np.array([0.0, 0.9, 0.75, 1.15, 0.95, 0.1, -0.85, -1.2, -0.8, -0.95]) * length * 0.16
    sole = smooth(np.stack([x, y], axis=1))
    tile.polygon(sole, rng.uniform(0.6, 1.6), "rubber")
    tile.wire(sole, 0.25, "rubber", closed=True, thickness=rng.uniform(0.8, 2.5))
    for stripe in np.arange(-0.42, 0.45, rng.uniform(0.05, 0.1)) * length:  # tread
        tile.wire(
            [(stripe, -0.09 * length), (stripe, 0.09 * length)], 0.12, "rubber", thickness=0.5
        )
    tile.polygon(sole * (0.8, 0.85) + (-0.06 * length, 0), rng.uniform(0.4, 1.2), "leather")
    if rng.random() < 0.6:
        tile.box((-0.12 * length, 0), (0.36 * length, 1.4), rng.uniform(0.08, 0.2), "steel", 0.6)
    for step in range(rng.integers(0, 6)):
        for side in (-1, 1):
            tile.wire(ellipse((1.0 + step, side * 1.1), 0.3, 0.3, 10), 0.08, "brass", closed=True)
    tile.polygon(
        smooth([(-0.5, -2), (-0.3, -2.4), (-0.3, 2.4), (-0.5, 2)]) * (length, 1), 1.5, "rubber"
    )


def book(tile: Tile, rng: Rng) -> None:
    """Draw a book, box of papers or a stack of them: flat, or standing with its pages on edge."""
    size = (rng.uniform(12, 22), rng.uniform(9, 16))
    thick = rng.uniform(1, 2.5)
    for shift in rng.uniform(-0.6, 0.6, (rng.integers(1, 4), 2)):
        outline = rounded(tuple(shift), size[0], size[1], 0.2)
        tile.polygon(outline, thick, "paper", "ribs" if rng.random() < 0.4 else None)
        tile.wire(outline, 0.15, "board", closed=True, thickness=thick * 2)
    if rng.random() < 0.3:  # a ring binder's mechanics
        tile.box((0, size[1] / 2 - 1), (size[0] * 0.8, 1.6), 0.12, "steel")
        for x in np.linspace(-0.35, 0.35, rng.integers(2, 5)) * size[0]:
            tile.wire(ellipse((x, size[1] / 2 - 1.5), 0.5, 1.6, 12), 0.16, "steel", closed=True)


def bottle(tile: Tile, rng: Rng) -> None:
    """Draw a bottle lying down: wall, liquid up to a level, neck and cap."""
    length, radius = rng.uniform(13, 25), rng.uniform(2.2, 4.2)
    wall, gauge = ("glass", 0.3) if rng.random() < 0.4 else ("nylon", 0.1)
    half, neck = length / 2, radius * 0.4
    tile.rod((-half, 0), (0.45 * half, 0), radius, wall, radius - gauge)
    filled = rng.uniform(-0.6, 0.45) * half
    tile.rod((-half, 0), (filled, 0), radius - gauge, "water")
    shoulder = [
        (0.45 * half, -radius),
        (0.7 * half, -neck),
        (0.7 * half, neck),
        (0.45 * half, radius),
    ]
    tile.polygon(shoulder, 2.6 * gauge, wall)
    tile.rod((0.7 * half, 0), (0.93 * half, 0), neck, wall, neck - gauge)
    cap = "aluminium" if rng.random() < 0.4 else "plastic"
    tile.rod((0.87 * half, 0), (half, 0), neck + 0.25, cap, neck)
    tile.box((-half + 0.3, 0), (0.5, 1.8 * radius), 2 * radius, wall)


def toiletries(tile: Tile, rng: Rng) -> None:
    """Draw tubes, jars and a deodorant in a pouch with a zip."""
    pouch = rounded((0, 0), 18, 12, 2.5)
    tile.shell(pouch, 0.08, 2.0, "pvc")
    tile.wire(rounded((0, 0), 17.4, 11.4, 2.4)[:14], 0.12, "brass")
    for _ in range(rng.integers(3, 6)):
        x, y = rng.uniform(-6, 6), rng.uniform(-4, 4)
        if rng.random() < 0.5:
            length, radius = rng.uniform(4, 7), rng.uniform(1.0, 1.9)
            can = "aluminium" if rng.random() < 0.5 else "plastic"
            tile.rod((x - length / 2, y), (x + length / 2, y), radius, can, radius - 0.08)
            tile.rod((x - length / 2, y), (x + length / 3, y), radius - 0.1, "soap")
        else:
            radius = rng.uniform(1.2, 2.6)
            tile.disc((x, y), radius, rng.uniform(1, 3), str(rng.choice(["soap", "talc", "glass"])))
            tile.wire(ellipse((x, y), radius, radius), 0.1, "plastic", closed=True, thickness=2)


def food(tile: Tile, rng: Rng) -> None:
    """Draw fruit, a packet of grain or powder, or bars of chocolate in foil."""
    kind = rng.integers(4)
    if kind == 0:
        for _ in range(rng.integers(2, 6)):
            radius = rng.uniform(2.4, 4.2)
            tile.ball(tuple(rng.uniform(-5, 5, 2)), (radius, radius * 0.95, radius), "food")
    elif kind == 1:
        tile.polygon(blob(rng, 8, 6, 0.12), rng.uniform(2, 5), "food", "grain")
    elif kind == 2:
        for y in np.arange(-5, 5, 2.6):
            tile.box((rng.uniform(-0.6, 0.6), y), (14, 2.3), rng.uniform(0.8, 1.8), "food", 0.3)
    else:
        salt = str(rng.choice(["talc", "food", "soap"]))
        tile.polygon(
            rounded((0, 0), rng.uniform(9, 15), rng.uniform(7, 10), 1.0), 3.5, salt, "grain"
        )


def umbrella(tile: Tile, rng: Rng) -> None:
    """Draw a folded umbrella: a steel shaft, its ribs side by side, cloth and a handle."""
    half = rng.uniform(11, 20)
    tile.rod((-half, 0), (half, 0), 0.5, "steel", 0.42)
    for y in np.linspace(-1.1, 1.1, 7):
        start, knee = -half * rng.uniform(0.5, 0.7), half * rng.uniform(0.2, 0.5)
        tile.wire([(start, y), (knee, y * 1.2), (half * 0.92, y * 0.3)], 0.11, "steel")
    tile.rod((-half * 0.6, 0), (half * 0.9, 0), 2.0, "polyester")
    tile.rod((-half * 1.08, 0), (-half * 0.66, 0), 1.3, "plastic", 0.4)
    tile.box((half * 0.1, 0), (1.2, 1.8), 0.4, "steel")


def belt(tile: Tile, rng: Rng) -> None:
    """Draw a leather belt rolled up on edge or lying in a bow, with its buckle."""
    turn = np.linspace(0, rng.uniform(3, 6) * np.pi, 60)
    radius = 2.0 + turn * rng.uniform(0.25, 0.5)
    spiral = np.stack([radius * np.cos(turn), radius * rng.uniform(0.5, 1) * np.sin(turn)], axis=1)
    tile.wire(spiral, 0.2, "leather", thickness=rng.uniform(1.5, 3.5))
    end = tuple(spiral[-1])
    metal = str(rng.choice(["zinc", "steel", "brass"]))
    tile.wire(rounded(end, 4.4, 3.6, 0.5), 0.3, metal, closed=True)
    tile.rod(end, (end[0] + 2.2, end[1]), 0.2, metal)


def glasses(tile: Tile, rng: Rng) -> None:
    """Draw spectacles in a case."""
    tile.shell(rounded((0, 0), 16, 6.5, 2.5), 0.15, 3.0, str(rng.choice(["plastic", "steel"])))
    for side in (-1, 1):
        tile.polygon(ellipse((side * 3.4, 0), 2.6, 1.9), 0.22, "glass")
        tile.wire(ellipse((side * 3.4, 0), 2.6, 1.9), 0.13, "zinc", closed=True)
        tile.wire([(side * 6, 0.5), (side * 4, 2.2), (-side * 5, 2.4)], 0.12, "zinc")
    tile.wire([(-0.8, 0), (0, 0.5), (0.8, 0)], 0.15, "zinc")


def toy(tile: Tile, rng: Rng) -> None:
    """Draw bricks or a toy car of plastic, with small axles."""
    for _ in range(rng.integers(2, 5)):
        x, y = rng.uniform(-5, 5, 2)
        size = (rng.uniform(3, 8), rng.uniform(2, 4))
        tile.shell(rounded((x, y), size[0], size[1], 0.5), 0.2, 2.0, "plastic")
        for dx in (-0.3, 0.3):
            tile.disc((x + dx * size[0], y + size[1] / 2), 0.9, 0.8, "rubber")
        tile.rod((x - 0.3 * size[0], y), (x + 0.3 * size[0], y), 0.15, "steel")
