"""Benign electric things: laptops, phones, chargers, cables, cameras, motors. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.shapes import Point, Rng, Tile, ellipse, rounded, smooth


def board(tile: Tile, rng: Rng, centre: Point, size: Point) -> None:
    """Draw a printed circuit: laminate, chips, capacitors standing and lying, connectors."""
    tile.box(centre, size, 0.16, "circuit")
    for _ in range(int(4 + size[0] * size[1] / 6)):
        x = centre[0] + rng.uniform(-0.45, 0.45) * size[0]
        y = centre[1] + rng.uniform(-0.45, 0.45) * size[1]
        kind = rng.random()
        if kind < 0.5:
            part = (rng.uniform(0.3, 1.4), rng.uniform(0.3, 1.2))
            tile.box((x, y), part, 0.12, "circuit")
        elif kind < 0.8:
            tile.disc((x, y), rng.uniform(0.2, 0.35), 0.5, "aluminium")
        else:
            tile.box((x, y), (rng.uniform(0.8, 1.6), 0.6), rng.uniform(0.05, 0.12), "steel")


def transformer(tile: Tile, centre: Point, size: float) -> None:
    """Draw an iron core with its copper winding: nearly opaque."""
    tile.box(centre, (size, size * 0.85), size * 0.35, "steel")
    tile.box(centre, (size * 0.62, size * 0.4), -size * 0.3, "steel")
    tile.box(centre, (size * 0.55, size * 1.05), size * 0.25, "copper", 0.3)


def laptop(tile: Tile, rng: Rng) -> None:
    """Draw a laptop: case, display, keyboard, board, heat pipe, fan, battery."""
    w, h = rng.uniform(31, 35), rng.uniform(21, 23)
    tile.shell(rounded((0, 0), w, h, 0.8), rng.uniform(0.08, 0.14), 1.5, "aluminium")
    tile.box((0, 0), (w - 1, h - 1), 0.22, "glass")
    tile.box((0, 0), (w - 1, h - 1), 0.07, "steel")  # shields of keyboard and display
    board(tile, rng, (rng.uniform(-4, 4), -h * 0.22), (w * 0.7, h * 0.38))
    for row in range(5):
        for column in range(13):
            key = ((column - 6) * w * 0.068, -h * 0.38 + row * h * 0.085)
            tile.box(key, (w * 0.055, h * 0.065), 0.12, "plastic")
    cells = rng.integers(3, 5)
    for index in range(cells):
        x = (index - (cells - 1) / 2) * w * 0.8 / cells
        tile.box((x, h * 0.3), (w * 0.76 / cells, h * 0.28), rng.uniform(0.35, 0.6), "lithium")
    fan = (w * rng.uniform(0.2, 0.35), -h * 0.25)
    tile.wire(ellipse(fan, 2.6, 2.6), 0.12, "steel", closed=True)
    tile.disc(fan, 1.0, 0.5, "copper")
    tile.wire([fan, (0, -h * 0.3), (-w * 0.2, -h * 0.22)], 0.35, "copper", thickness=0.12)
    tile.box((0, -h / 2 + 0.4), (w * 0.6, 0.5), 0.4, "steel")


def tablet(tile: Tile, rng: Rng) -> None:
    """Draw a phone or tablet: glass, board and a flat battery."""
    w = rng.uniform(20, 25)
    h = w * 0.68
    tile.shell(rounded((0, 0), w, h, 1.0), 0.08, 0.8, "aluminium")
    tile.box((0, 0), (w - 0.5, h - 0.5), 0.15, "glass")
    tile.box((0, 0), (w - 0.5, h - 0.5), 0.06, "steel")
    tile.box((w * 0.1, -h * 0.1), (w * 0.55, h * 0.6), rng.uniform(0.25, 0.45), "lithium", 0.3)
    board(tile, rng, (-w * 0.35, 0), (w * 0.22, h * 0.85))


def cable_run(tile: Tile, rng: Rng, spread: float, turns: float) -> None:
    """Draw a bundle of cable in loops: copper inside an insulation."""
    turn = np.linspace(0, turns * 2 * np.pi, int(28 * turns))
    wobble = np.cumsum(rng.normal(0, 0.12, (len(turn), 2)), axis=0)
    loop = np.stack([spread * np.cos(turn), spread * 0.5 * np.sin(turn)], axis=1) + wobble
    tile.wire(loop, 0.28, "pvc")
    tile.wire(loop, 0.12, "copper")


def charger(tile: Tile, rng: Rng) -> None:
    """Draw a power supply with transformer, cable and plug."""
    size = (rng.uniform(6, 11), rng.uniform(4, 6))
    tile.shell(rounded((0, 0), size[0], size[1], 0.6), 0.22, 2.5, "plastic")
    board(tile, rng, (0, 0), (size[0] * 0.85, size[1] * 0.8))
    transformer(tile, (rng.uniform(-0.2, 0.2) * size[0], 0), 1.4)
    for _ in range(3):
        x = rng.uniform(-0.35, 0.35) * size[0]
        tile.rod((x, -1.4), (x, 0.4), rng.uniform(0.4, 0.8), "aluminium")
    cable_run(tile, rng, rng.uniform(3.5, 6), rng.uniform(1.5, 3))
    for y in (-0.9, 0.9):
        tile.rod((size[0] / 2, y), (size[0] / 2 + 2, y), 0.24, "brass")


def cables(tile: Tile, rng: Rng) -> None:
    """Draw cables only, in a coil with a plug at each end."""
    cable_run(tile, rng, rng.uniform(4, 7), rng.uniform(3, 6))
    for x in rng.uniform(-6, 6, 2):
        tile.box((x, rng.uniform(-2, 2)), (2.4, 1.2), 0.7, "pvc", 0.2)
        tile.box((x + 1.6, rng.uniform(-2, 2)), (1.2, 0.9), 0.12, "steel")


def power_bank(tile: Tile, rng: Rng) -> None:
    """Draw round lithium cells in steel cans, side by side in a case, with their electronics."""
    count = int(rng.integers(2, 5))
    tile.shell(rounded((0.6, 0), 9.5, 1.95 * count + 0.9, 0.6), 0.15, 2, "plastic")
    for index in range(count):
        y = -0.975 * (count - 1) + 1.95 * index
        tile.rod((-3.4, y), (3.1, y), 0.9, "lithium", 0.25)
        tile.rod((-3.4, y), (3.1, y), 0.93, "steel", 0.9)
    board(tile, rng, (4.2, 0), (1.5, 1.8 * count))


def batteries(tile: Tile, rng: Rng) -> None:
    """Draw loose or packed household cells."""
    for index in range(rng.integers(2, 9)):
        y, x = 1.55 * (index % 4) - 2.4, (index // 4) * 5.6 - 3
        tile.rod((x, y), (x + 4.8, y), 0.7, "zinc", 0.6)
        tile.rod((x + 0.2, y), (x + 4.5, y), 0.45, "talc")
        tile.rod((x + 4.8, y), (x + 5.05, y), 0.25, "steel")


def camera(tile: Tile, rng: Rng) -> None:
    """Draw a camera with a lens of several glasses."""
    tile.shell(rounded((0, 0), 13, 8.5, 1.2), 0.2, 3.0, str(rng.choice(["plastic", "aluminium"])))
    board(tile, rng, (3.5, 0.5), (5, 6))
    lens = (-1.5, 0.4)
    for radius, cm in ((3.5, 0.5), (2.9, 0.8), (2.2, 1.0)):
        tile.wire(ellipse(lens, radius, radius), 0.18, "aluminium", closed=True, thickness=4)
        tile.disc(lens, radius, cm * 0.6, "glass")
    tile.box((-5.2, -0.5), (2.2, 5), 1.2, "lithium")
    tile.wire(smooth([(-6.5, 2), (-9, 5), (0, 8), (9, 5), (6.5, 2)], closed=False), 0.2, "nylon")


def lens(tile: Tile, rng: Rng) -> None:
    """Draw a camera lens on end: thin rings of aluminium round glass."""
    outer = rng.uniform(3.4, 3.8)
    for radius in (outer, 0.9 * outer, 0.7 * outer):
        ring = ellipse((0, 0), radius, radius)
        tile.wire(ring, 0.1, "aluminium", closed=True, thickness=2)
        tile.disc((0, 0), radius, 0.5, "glass")
    tile.wire(ellipse((0, 0), outer, outer), 0.1, "steel", closed=True, thickness=1)


def motor(tile: Tile, centre: Point, length: float, radius: float) -> None:
    """Draw an electric motor: housing, magnets, a laminated rotor with copper, a shaft."""
    x, y = centre
    tile.rod((x - length / 2, y), (x + length / 2, y), radius, "steel", radius - 0.07)
    tile.rod((x - length * 0.3, y), (x + length * 0.3, y), radius * 0.6, "steel", radius * 0.5)
    for end in (-0.38, 0.38):
        tile.box((x + end * length, y), (length * 0.12, radius * 1.2), radius * 0.12, "copper", 0.3)
    tile.rod((x - length * 0.7, y), (x + length * 0.7, y), 0.25, "steel")


def hair_dryer(tile: Tile, rng: Rng) -> None:
    """Draw a hair dryer: barrel with motor, heater coils, an angled handle with a switch."""
    tile.rod((-9, 0), (8, 0), 3.6, "plastic", 3.35)
    motor(tile, (-4.5, 0), 3.5, 1.6)
    for x in np.arange(0, 6, 0.7):
        tile.wire([(x, -2.6), (x + 0.35, 2.6)], 0.07, "steel")
    tile.wire(ellipse((7.8, 0), 0.7, 3.4), 0.1, "steel", closed=True)
    tilt = rng.uniform(-2, 2)
    handle = [(-3.6, 3), (0, 3), (tilt + 1.4, 14), (tilt - 2, 14)]
    tile.shell(handle, 0.22, 2.4, "plastic")
    tile.box((tilt * 0.5 - 1, 7.5), (1.6, 2.8), 0.3, "brass")
    tile.wire([(-2, 4), (tilt, 14), (tilt + 4, 16), (tilt - 6, 15)], 0.2, "copper")


def headphones(tile: Tile, rng: Rng) -> None:
    """Draw over-ear headphones: a steel band, cushions, drivers with their magnets."""
    turn = np.linspace(np.pi, 2 * np.pi, 20)
    arch = np.stack([8 * np.cos(turn), 9 * np.sin(turn)], axis=1)
    tile.wire(arch, 0.6, "plastic", thickness=0.5)
    tile.wire(arch, 0.12, "steel", thickness=0.6)
    for side in (-1, 1):
        tile.polygon(ellipse((side * 7.4, 2), 2.6, 4), 2.2, "foam")
        tile.wire(ellipse((side * 7.4, 2), 2.6, 4), 0.3, "plastic", closed=True, thickness=2)
        tile.disc((side * 7.2, 2), 1.7, 0.12, "steel")
        tile.disc((side * 7.2, 2), 0.9, rng.uniform(0.4, 0.8), "steel")
