"""Benign household and trade goods, of mixed materials. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.benign_electronics import board, motor, transformer
from pipeline.scans.generated.shapes import Tile, ellipse, rounded, smooth

Rng = np.random.Generator


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
    w, h, wall = rng.uniform(12, 22), rng.uniform(8, 15), rng.uniform(0.03, 0.07)
    outline = rounded((0, 0), w, h, rng.uniform(0.5, 3))
    tile.shell(outline, wall, 3, "steel")
    tile.wire(outline * 0.96, 0.1, "steel", closed=True, thickness=1)
    filling = str(rng.choice(["food", "paper", "soap"]))
    tile.polygon(outline * 0.94, rng.uniform(0.5, 3), filling, str(rng.choice(["grain", "ribs"])))
    tile.box((0, -h / 2), (2.5, 1.2), 0.3, "brass")


def power_supply(tile: Tile, rng: Rng) -> None:
    """Draw a steel cased power supply, router or player: board, transformer, heat sinks, fan."""
    w, h = rng.uniform(13, 22), rng.uniform(10, 15)
    tile.shell(rounded((0, 0), w, h, 0.3), rng.uniform(0.04, 0.09), 2.5, "steel")
    board(tile, rng, (0, 0), (w * 0.85, h * 0.8))
    transformer(tile, (-w * 0.25, h * 0.15), rng.uniform(2.5, 4.5))
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
        tile.disc((centre[0], centre[1] - 1.6), 1.4, 0.9, "steel")
        tile.polygon(smooth(np.add(centre, [(1, 3), (4.4, 3), (4.2, 6), (1.5, 5.6)])), 0.6, "steel")
        board(tile, rng, (centre[0] - 1, centre[1] + 4), (6, 4))


def iron(tile: Tile, rng: Rng) -> None:
    """Draw a clothes iron: a thick aluminium sole with its heater, a tank, a plastic shell."""
    sole = smooth([(-10, -5), (2, -5), (9, -2), (12, 0), (9, 2), (2, 5), (-10, 5)])
    tile.polygon(sole, rng.uniform(0.7, 1.4), "aluminium")
    tile.wire(sole * (0.75, 0.6), 0.4, "steel", thickness=0.6)
    tile.shell(sole * (0.95, 0.9), 0.25, 3, "plastic")
    tile.polygon(sole * (0.4, 0.7) + (3, 0), rng.uniform(0, 3), "water")
    tile.box((-2, 0), (13, 3), 2, "plastic", 1.4)
    board(tile, rng, (-7, 0), (3, 4))


def dumbbell(tile: Tile, rng: Rng) -> None:
    """Draw a dumbbell of iron, bare or in rubber."""
    half, radius = rng.uniform(6, 9), rng.uniform(2.4, 4)
    tile.rod((-half, 0), (half, 0), rng.uniform(1.1, 1.5), "steel", rng.choice([0.0, 0.9]))
    for side in (-1, 1):
        tile.box((side * half, 0), (4.5, 2 * radius), rng.uniform(1.5, 4), "steel", 1)
        tile.box((side * half, 0), (5.2, 2 * radius + 0.8), 2, "rubber", 1.2)


def speaker(tile: Tile, rng: Rng) -> None:
    """Draw a loudspeaker box: two drivers with heavy magnets, a board, cells."""
    w, h = rng.uniform(14, 22), rng.uniform(8, 11)
    tile.shell(rounded((0, 0), w, h, 2), 0.35, 4, "plastic")
    for side in (-1, 1):
        centre = (side * w * 0.26, 0.0)
        tile.wire(ellipse(centre, h * 0.36, h * 0.36), 0.3, "steel", closed=True, thickness=0.4)
        tile.disc(centre, h * 0.34, 0.06, "steel")
        tile.disc(centre, h * 0.2, rng.uniform(0.6, 1.8), "steel")
        tile.disc(centre, h * 0.07, 0.8, "copper")
    board(tile, rng, (0, h * 0.2), (w * 0.2, h * 0.4))


def kettle(tile: Tile, rng: Rng) -> None:
    """Draw a kettle or coffee pot from its side: thin steel, base with heater, spout, handle."""
    body = [(-6, 8), (6, 8), (4.6, -7), (-4.6, -7)]
    tile.shell(smooth(body, rounds=1), rng.uniform(0.05, 0.1), 2.5, "steel")
    tile.box((0, 7.4), (12, 1.6), 0.5, "steel")
    tile.wire(ellipse((0, 7.2), 4, 0.6), 0.35, "steel", closed=True)
    tile.shell([(4.8, -5), (8.5, -6.5), (5, -1)], 0.08, 1.5, "steel")
    tile.wire(
        smooth([(-4.6, -6), (-10, -5), (-9.5, 4), (-5.6, 5)], False), 1.0, "plastic", thickness=1.4
    )
    tile.polygon(np.array(body) * (0.9, 0.45) + (0, 4), rng.uniform(0, 6), "water")


def brake_disc(tile: Tile, rng: Rng) -> None:
    """Draw a vented disc, flywheel or saw blade pack: an iron ring with holes and a hat."""
    radius, thick = rng.uniform(6, 10), rng.uniform(0.25, 0.9)
    tile.disc((0, 0), radius, thick, "steel")
    tile.disc((0, 0), radius * 0.55, -0.5 * thick, "steel")
    for share in (0.68, 0.86):
        for x, y in ellipse((0, 0), radius * share, radius * share, int(rng.integers(8, 16))):
            tile.disc((x, y), 0.45, -thick, "steel")
    tile.wire(ellipse((0, 0), radius * 0.55, radius * 0.55, 36), 0.3, "steel", True, 1.2)
    tile.disc((0, 0), radius * 0.25, -0.5 * thick, "steel")


def valve(tile: Tile, rng: Rng) -> None:
    """Draw a valve, pump or tap: a bronze body with flanges, a spindle and a hand wheel."""
    length, radius = rng.uniform(8, 13), rng.uniform(1.2, 2.2)
    metal = str(rng.choice(["brass", "steel", "aluminium"]))
    tile.rod((-length / 2, 0), (length / 2, 0), radius, metal, radius * 0.75)
    tile.ball((0, 0), (radius * 1.6, radius * 1.5, 0.8), metal)
    for end in (-length / 2, length / 2):
        tile.box((end, 0), (1.4, radius * 3), 1.2, metal, 0.2)
    tile.rod((0, 0), (0, -radius * 4), 0.4, "steel")
    tile.box((0, -radius * 4), (radius * 4, 1), 0.5, str(rng.choice(["plastic", "zinc"])), 0.4)


def machine(tile: Tile, rng: Rng) -> None:
    """Draw a mixer, grinder or sewing machine: a shell, a motor, gears, shafts, a plate."""
    w, h = rng.uniform(16, 24), rng.uniform(9, 14)
    tile.shell(rounded((0, 0), w, h, 3), 0.3, 4, str(rng.choice(["plastic", "aluminium"])))
    motor(tile, (-w * 0.22, rng.uniform(-1, 1)), w * 0.32, h * 0.22)
    for x in rng.uniform(0.05, 0.4, 3) * w:
        y, radius = rng.uniform(-0.25, 0.25) * h, rng.uniform(1, 2.4)
        tile.disc(
            (x, y), radius, rng.uniform(0.3, 0.9), str(rng.choice(["steel", "nylon", "zinc"]))
        )
        tile.rod((x, -h * 0.4), (x, h * 0.4), 0.35, "steel")
    tile.box((0, h * 0.42), (w * 0.9, h * 0.1), 0.4, "steel")
    board(tile, rng, (w * 0.25, -h * 0.2), (w * 0.3, h * 0.25))
