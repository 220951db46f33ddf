"""Knives, all drawn with the blade along +x. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.shapes import Point, Rng, Tile, rounded, smooth

HANDLES = ("wood", "plastic", "rubber", "steel", "aluminium", "porcelain")


def draw_blade(
    tile: Tile, outline: list[Point], size: Point, spine: float, material: str = "steel"
) -> None:
    """Draw a blade from x = 0 on, `spine` thick at its back; `outline` is in shares of `size`."""
    points = np.multiply(outline, size)
    tile.polygon(points, 0.45 * spine, material)
    for share in (0.8, 0.62):  # towards the back, y = 0, it gets thicker
        tile.polygon(points * (0.985, share), 0.28 * spine, material)


def draw_handle(tile: Tile, rng: Rng, length: float, height: float) -> None:
    """Draw a handle from x = 0 to -length: two scales on a tang of steel, with rivets."""
    material = str(rng.choice(HANDLES))
    cm = {"steel": 0.2, "aluminium": 0.6}.get(material, 1.6)
    bend = rng.uniform(-0.15, 0.35)
    outline = [
        (0, -0.1),
        (0, 0.8),
        (-0.3, 0.9),
        (-0.7, 0.75 + bend),
        (-1, 1 + bend),
        (-1, bend),
        (-0.5, 0),
    ]
    tile.polygon(smooth(np.array(outline) * (length, height)), cm, material)
    reach = rng.uniform(0.8, 1)
    tile.box((-length * reach / 2, 0.45 * height), (length * reach, 0.7 * height), 0.55, "steel")
    for x in np.linspace(0.15, 0.8, rng.integers(2, 4)) * -length:
        tile.disc((x, 0.45 * height), 0.35, cm * 0.6, "brass" if rng.random() < 0.5 else "steel")


def kitchen_knife(tile: Tile, rng: Rng) -> None:
    """Draw a cook's, carving or paring knife, of steel, now and then of zirconia."""
    length = rng.uniform(8.5, 12)
    material = "zirconia" if rng.random() < 0.2 else "steel"
    size = (length, length * rng.uniform(0.16, 0.26))
    outline = [(0, 0), (0.7, 0.0), (1, rng.uniform(0.1, 0.6)), (0.85, 0.75), (0.5, 1), (0, 1)]
    draw_blade(tile, outline, size, 0.6, material)
    draw_handle(tile, rng, rng.uniform(8, 9.5), rng.uniform(1.6, 2.1))


def dagger(tile: Tile, rng: Rng) -> None:
    """Draw a dagger or combat knife: two edges, a fuller, a cross guard and a pommel."""
    length, height = rng.uniform(9, 12.5), rng.uniform(2.2, 3)
    outline: list[Point] = [(0, 0), (0.75, 0.05), (1, 0.5), (0.75, 0.95), (0, 1)]
    draw_blade(tile, outline, (length, height), 0.65)
    middle = height / 2
    tile.wire([(0.5, middle), (length * 0.8, middle)], 0.25, "steel", thickness=-0.1)
    if rng.random() < 0.4:
        for x in np.arange(0.15, 0.6, 0.06) * length:
            tile.polygon([(x, 0), (x + 0.5, 0), (x + 0.1, 0.5)], -0.2, "steel")
    tile.box((-0.3, middle), (0.7, height * 1.8), 0.7, "steel")
    draw_handle(tile, rng, rng.uniform(9, 11), height * 0.9)
    tile.disc((-10, middle), 1.1, 0.8, "steel")


def folding_knife(tile: Tile, rng: Rng) -> None:
    """Draw a pocket knife opened at some angle: steel liners, scales, a pivot, a spring."""
    length, height = rng.uniform(8.5, 11), rng.uniform(1.8, 2.4)
    turn = rng.uniform(-0.5, 0.9)
    outline = np.array([(0, 0), (0.7, 0), (1, 0.7), (0.7, 1), (0, 1)]) * (
        length * 0.85,
        height * 0.8,
    )
    cos, sin = np.cos(turn), np.sin(turn)
    points = outline @ np.array([[cos, sin], [-sin, cos]])
    tile.polygon(points, 0.55, "steel")
    tile.polygon(points * 0.9, 0.1, "steel")
    case = rounded((-length / 2 + 0.5, height / 2), length + 1, height, 0.9)
    tile.polygon(case, 0.2, "steel")
    tile.polygon(case, 0.9, str(rng.choice(HANDLES[:3])))
    tile.wire([(-length + 1, 0.2), (0, 0.2)], 0.25, "steel", thickness=0.35)
    tile.disc((0, height / 2), 0.5, 0.8, "steel")


def cleaver(tile: Tile, rng: Rng) -> None:
    """Draw a cleaver: a broad, nearly rectangular blade with a hole."""
    size = (rng.uniform(10, 13), rng.uniform(4, 5))
    outline: list[Point] = [(0, 0), (1, 0.02), (1, 0.9), (0.95, 1), (0.06, 1), (0, 0.85)]
    draw_blade(tile, outline, size, 0.65)
    tile.disc((size[0] - 1.3, 1.2), 0.45, -0.65, "steel")
    draw_handle(tile, rng, rng.uniform(9, 11), 2.4)


def utility_knife(tile: Tile, rng: Rng) -> None:
    """Draw a cutter: a thin segmented blade that slides in a holder of zinc or plastic."""
    length, height = rng.uniform(12, 15), rng.uniform(2, 2.8)
    out = rng.uniform(3, 6.5)
    blade = [(-7, -0.8), (out - 1.2, -0.8), (out, 0.8), (-7, 0.8)]
    tile.polygon(blade, 0.4, "steel")
    for x in np.arange(-6, out - 1, 1.0):
        tile.wire([(x, -0.8), (x + 0.7, 0.8)], 0.1, "steel", thickness=-0.05)
    holder = rounded((-length / 2, 0), length, height, 0.9)
    metal = rng.random() < 0.8
    tile.shell(holder, 0.25 if metal else 0.3, 0.9, "zinc" if metal else "plastic")
    tile.box(
        (-length / 2, 0), (length * 0.7, 0.5), -0.1 if metal else 0.2, "zinc" if metal else "steel"
    )
    tile.box((-3, -height / 2), (2, 0.9), 0.9, "plastic")


KNIVES = (kitchen_knife, dagger, folding_knife, cleaver, utility_knife)
