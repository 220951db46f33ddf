"""Benign household and trade goods, of mixed materials. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.benign_electronics import board, motor, transformer
from pipeline.scans.generated.shapes import Rng, Tile, ellipse, rounded, smooth


def plates(tile: Tile, rng: Rng) -> None:
    """Draw a pile of crockery, a little out of line, or a tile."""
    radius = rng.uniform(5, 10)
    for shift in rng.uniform(-0.7, 0.7, (rng.integers(1, 5), 2)):
        x, y = shift
        tile.disc((x, y), radius, rng.uniform(0.4, 0.8), "porcelain")
        tile.wire(ellipse((x, y), radius * 0.98, radius * 0.98, 40), 0.2, "porcelain", True, 1.2)
        tile.wire(ellipse((x, y), radius * 0.6, radius * 0.6, 32), 0.15, "porcelain", True, 0.7)


def jars(tile: Tile, rng: Rng) -> None:
    """Draw jars of glass with food and a tin lid, in a row."""
    count = int(rng.integers(1, 4))
    for index in range(count):
        y, half, radius = 7.2 * (index - (count - 1) / 2), rng.uniform(4, 7), rng.uniform(2.6, 3.5)
        tile.rod((-half, y), (half, y), radius, "glass", radius - 0.28)
        tile.rod(
            (-half, y), (half * 0.8, y), radius - 0.28, str(rng.choice(["food", "water", "talc"]))
        )
        tile.rod((half, y), (half + 1.4, y), radius * 0.95, "steel", radius * 0.95 - 0.03)


def tin_box(tile: Tile, rng: Rng) -> None:
    """Draw a tin of biscuits or a cash box: thin sheet steel round small things."""
    w, h, wall = rng.uniform(18, 24), rng.uniform(14, 17), rng.uniform(0.04, 0.07)
    outline = rounded((0, 0), w, h, rng.uniform(0.5, 3))
    tile.shell(outline, wall, 3, "steel")
    tile.wire(outline * 0.96, 0.1, "steel", closed=True, thickness=1)
    filling = str(rng.choice(["food", "paper", "soap"]))
    tile.polygon(outline * 0.94, rng.uniform(0.5, 3), filling, str(rng.choice(["grain", "ribs"])))
    tile.box((0, -h / 2), (2.5, 1.2), 0.3, "brass")


def power_supply(tile: Tile, rng: Rng) -> None:
    """Draw a steel cased power supply, router or player: board, transformer, heat sinks, fan."""
    w, h = rng.uniform(13, 22), rng.uniform(10, 15)
    tile.shell(rounded((0, 0), w, h, 0.3), 0.07, 2.5, "steel")
    board(tile, rng, (0, 0), (w * 0.85, h * 0.8))
    transformer(tile, (-w * 0.25, h * 0.15), 1.8)
    for y in np.linspace(-0.4, 0.05, 7) * h:  # fins
        tile.wire([(-w * 0.05, y), (w * 0.14, y)], 0.1, "aluminium", thickness=2.5)
    tile.wire(ellipse((w * 0.3, 0), h * 0.3, h * 0.3), 0.25, "steel", closed=True)
    motor(tile, (w * 0.3, 0), 2.2, 1.5)


def hard_drives(tile: Tile, rng: Rng) -> None:
    """Draw disk drives: a cast aluminium body, platters, a spindle, a magnet, a board."""
    for index in range(rng.integers(1, 4)):
        centre = (10.6 * index - 8, rng.uniform(-1, 1))
        tile.box(centre, (10, 14), rng.uniform(0.5, 0.9), "aluminium", 0.4)
        tile.disc((centre[0], centre[1] - 1.6), 4.6, 0.35, "aluminium")
        tile.disc((centre[0], centre[1] - 1.6), 1.4, 0.25, "steel")
        tile.polygon(smooth(np.add(centre, [(1, 3), (4.4, 3), (4.2, 6), (1.5, 5.6)])), 0.6, "steel")
        board(tile, rng, (centre[0] - 1, centre[1] + 4), (6, 4))


def speaker(tile: Tile, rng: Rng) -> None:
    """Draw a loudspeaker box: two drivers with heavy magnets, a board, cells."""
    w, h = rng.uniform(14, 22), rng.uniform(8, 11)
    tile.shell(rounded((0, 0), w, h, 2), 0.35, 4, "plastic")
    for side in (-1, 1):
        centre = (side * w * 0.26, 0.0)
        tile.wire(ellipse(centre, h * 0.36, h * 0.36), 0.3, "steel", closed=True, thickness=0.4)
        tile.disc(centre, h * 0.34, 0.06, "steel")
        tile.disc(centre, h * 0.2, 0.25, "steel")
        tile.disc(centre, h * 0.07, 0.8, "copper")
    board(tile, rng, (0, h * 0.2), (w * 0.2, h * 0.4))


def brake_disc(tile: Tile, rng: Rng) -> None:
    """Draw a vented disc, flywheel or saw blade pack: an iron ring with holes and a hat."""
    radius, thick = rng.uniform(6, 10), rng.uniform(0.12, 0.25)
    tile.disc((0, 0), radius, thick, "steel")
    tile.disc((0, 0), radius * 0.55, -0.5 * thick, "steel")
    for share in (0.68, 0.86):
        for x, y in ellipse((0, 0), radius * share, radius * share, int(rng.integers(8, 16))):
            tile.disc((x, y), 0.45, -thick, "steel")
    tile.wire(ellipse((0, 0), radius * 0.55, radius * 0.55, 36), 0.1, "steel", True, 0.4)
    tile.disc((0, 0), radius * 0.25, -0.5 * thick, "steel")


def valve(tile: Tile, rng: Rng) -> None:
    """Draw a valve, pump or tap: a bronze body with flanges, a spindle and a hand wheel."""
    length, radius = rng.uniform(8, 13), rng.uniform(1.2, 2.2)
    metal = str(rng.choice(["brass", "steel", "aluminium"]))
    tile.rod((-length / 2, 0), (length / 2, 0), radius, metal, radius * 0.88)
    tile.ball((0, 0), (radius * 1.6, radius * 1.5, 0.15), metal)
    for end in (-length / 2, length / 2):
        tile.box((end, 0), (1.4, radius * 3), 0.3, metal, 0.2)
    tile.rod((0, 0), (0, -radius * 4), 0.4, "steel")
    tile.box((0, -radius * 4), (radius * 4, 1), 0.5, str(rng.choice(["plastic", "zinc"])), 0.4)
