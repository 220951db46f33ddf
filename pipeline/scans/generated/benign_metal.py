"""Benign things of metal: keys, coins, cans, cookware, locks, machine parts. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.shapes import Rng, Tile, ellipse, rounded, smooth


def metal_of(rng: Rng) -> str:
    """Choose a metal of everyday things."""
    return str(rng.choice(["steel", "steel", "aluminium", "zinc", "brass"]))


def keys(tile: Tile, rng: Rng) -> None:
    """Draw a bunch of keys on a ring."""
    tile.wire(ellipse((0, 0), 1.5, 1.5), 0.12, "steel", closed=True)
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(3, 8)):
        out = np.array([np.cos(angle), np.sin(angle)])
        side = np.array([-out[1], out[0]])
        metal, length = str(rng.choice(["brass", "zinc", "steel"])), rng.uniform(3.5, 5)
        tile.polygon(ellipse(tuple(out * 2.2), 1.1, 1.0), 0.22, metal)
        cuts = [(2.8, 0.4), (2.8, -0.4)]
        teeth = np.linspace(2.8, 2.8 + length, 8)
        cuts += [(t, -0.4 + (i % 2) * rng.uniform(0.1, 0.35)) for i, t in enumerate(teeth)]
        cuts += [(2.8 + length, 0.4)]
        tile.polygon([u * out + v * side for u, v in cuts], 0.22, metal)


def coins(tile: Tile, rng: Rng) -> None:
    """Draw coins spread out or in a purse."""
    for _ in range(rng.integers(5, 18)):
        metal = str(rng.choice(["copper", "brass", "steel"]))
        place, radius = tuple(rng.normal(0, 2.6, 2)), rng.uniform(0.8, 1.3)
        tile.polygon(ellipse(place, radius, radius * rng.uniform(0.3, 1)), 0.18, metal)
    tile.shell(rounded((0, 0), 10, 7.5, 2), 0.15, 1.5, "leather")


def can(tile: Tile, rng: Rng) -> None:
    """Draw a drink, food or spray can: thin metal round a liquid."""
    length, radius = rng.uniform(8, 17), rng.uniform(2.6, 4)
    metal, gauge = ("aluminium", 0.05) if rng.random() < 0.5 else ("steel", 0.02)
    half = length / 2
    tile.rod((-half, 0), (half, 0), radius, metal, radius - gauge)
    tile.rod((-half, 0), (rng.uniform(0.3, 0.95) * half, 0), radius - gauge, "water")
    for end in (-half, half):
        tile.box((end, 0), (0.25, 2 * radius), 1.6, metal)
    if rng.random() < 0.4:
        tile.rod((half, 0), (half + 1.8, 0), radius * 0.4, "plastic")


def pan(tile: Tile, rng: Rng) -> None:
    """Draw a pan, pot or bowl from above, with its handle."""
    radius = rng.uniform(6, 10)
    metal = str(rng.choice(["steel", "aluminium"]))
    wall = rng.uniform(0.1, 0.2) if metal == "steel" else rng.uniform(0.3, 0.6)
    tile.disc((0, 0), radius, wall, metal)
    tile.disc((0, 0), radius * 0.85, wall * 0.8, metal)
    tile.wire(ellipse((0, 0), radius, radius, 40), wall / 2, metal, closed=True, thickness=4)
    tile.box((radius + 4.5, 0), (9, 2), 0.25, metal, 0.8)
    tile.rod((radius + 3, 0), (radius + 9, 0), 1.1, "plastic", 0.5)


def cutlery(tile: Tile, rng: Rng) -> None:
    """Draw spoons and forks."""
    for index in range(rng.integers(2, 6)):
        y, tilt = 2.3 * index - 4, rng.uniform(-1, 1)
        tile.wire([(-3, y), (9, y + tilt)], 0.35, "steel", thickness=0.14)
        if rng.random() < 0.5:
            tile.polygon(ellipse((-5, y), 2.8, 1.7), 0.1, "steel")
        else:
            tile.polygon(rounded((-3.6, y), 2.4, 2.2, 0.8), 0.1, "steel")
            for tine in (-0.8, -0.25, 0.25, 0.8):
                tile.wire([(-4.5, y + tine), (-8, y + tine)], 0.14, "steel")


def padlock(tile: Tile, rng: Rng) -> None:
    """Draw a padlock: brass body with its pins, steel shackle."""
    w = rng.uniform(2.4, 5)
    tile.box((0, 0), (w, w * 0.9), 0.3, str(rng.choice(["brass", "steel"])), 0.4)
    tile.rod((0, -0.1 * w), (0, 0.45 * w), w * 0.14, "brass")
    turn = np.linspace(np.pi, 2 * np.pi, 14)
    arch = np.stack([0.33 * w * np.cos(turn), -0.45 * w + 0.55 * w * np.sin(turn)], axis=1)
    tile.wire(arch, w * 0.09, "steel")


def thermos(tile: Tile, rng: Rng) -> None:
    """Draw a vacuum flask: two steel walls, a drink, a stopper."""
    half, radius = rng.uniform(9, 14), rng.uniform(3, 4)
    tile.rod((-half, 0), (half * 0.75, 0), radius, "steel", radius - 0.06)
    tile.rod((-half * 0.94, 0), (half * 0.7, 0), radius - 0.6, "steel", radius - 0.66)
    tile.rod((-half * 0.94, 0), (half * rng.uniform(-0.5, 0.5), 0), radius - 0.66, "water")
    tile.rod((half * 0.62, 0), (half, 0), radius * 0.85, "plastic", radius * 0.3)


def bracket(tile: Tile, rng: Rng) -> None:
    """Draw a plate or angle of sheet metal with bolts through its holes."""
    w, h, thick = rng.uniform(6, 14), rng.uniform(3, 7), rng.uniform(0.15, 0.5)
    metal = metal_of(rng)
    corner = [(-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, 0), (-w / 6, 0), (-w / 6, h), (-w / 2, h)]
    tile.polygon(corner if rng.random() < 0.5 else rounded((0, 0), w, h, 0.8), thick, metal)
    for x in np.linspace(-0.4, 0.4, rng.integers(2, 5)) * w:
        if rng.random() < 0.5:
            tile.disc((x, -h / 4), 0.45, -thick, metal)
        else:
            tile.polygon(ellipse((x, -h / 4), 0.75, 0.75, 6), 0.6, "steel")


def pipes(tile: Tile, rng: Rng) -> None:
    """Draw lengths of pipe, a tap or fittings: hollow cylinders and an elbow."""
    metal = metal_of(rng)
    for _ in range(rng.integers(1, 4)):
        radius, half = rng.uniform(0.6, 1.7), rng.uniform(4, 10)
        y = rng.uniform(-4, 4)
        tile.rod((-half, y), (half, y), radius, metal, radius * rng.uniform(0.6, 0.9))
        tile.rod((half - 1.8, y), (half, y), radius * 1.35, metal, radius)
    turn = np.linspace(0, np.pi / 2, 8)
    elbow = np.stack([4 * np.cos(turn), 4 * np.sin(turn)], axis=1)
    tile.wire(elbow, rng.uniform(0.6, 1.1), metal, thickness=rng.uniform(0.4, 0.9))


def gear(tile: Tile, rng: Rng) -> None:
    """Draw a cog, flange or pulley: a thick rim, spokes or bolt holes, a hub."""
    radius, thick = rng.uniform(2.5, 6), rng.uniform(0.15, 0.3)
    metal, teeth = metal_of(rng), int(rng.integers(14, 30))
    turn = np.linspace(0, 2 * np.pi, 4 * teeth, endpoint=False)
    edge = radius * np.where(np.arange(4 * teeth) % 4 < 2, 1.0, 0.9)
    tile.polygon(np.stack([edge * np.cos(turn), edge * np.sin(turn)], axis=1), thick, metal)
    for x, y in ellipse((0, 0), radius * 0.58, radius * 0.58, int(rng.integers(3, 7))):
        tile.disc((x, y), radius * 0.2, -thick, metal)
    tile.disc((0, 0), radius * 0.3, thick, metal)
    tile.disc((0, 0), radius * 0.14, -1.6 * thick, metal)


def tripod(tile: Tile, rng: Rng) -> None:
    """Draw a folded tripod or stand: three telescopic legs, a head with a lever."""
    for y in (-1.9, 0, 1.9):
        drawn = rng.uniform(0.6, 1)
        for end, radius in ((17 * drawn, 1.1), (10 * drawn, 1.3), (2, 1.5)):
            tile.rod((-14, y), (end, y * 0.9), radius, "aluminium", radius - 0.14)
    tile.rod((-18, 0), (-13, 0), 1.3, "zinc", 0.5)
    tile.box((-18, 0), (4, 5), 0.6, "aluminium", 0.8)
    tile.rod((-18, 0), (-9, 5.5), 0.4, "steel")


def hanger(tile: Tile, rng: Rng) -> None:
    """Draw a clothes hanger of steel wire."""
    half = rng.uniform(19, 20)
    bow = [(0, -6), (-half, 3), (-half, 4), (half, 4), (half, 3), (0, -6)]
    tile.wire(smooth(bow, closed=False), 0.17, "steel")
    hook = [(0, -6), (0, -8), (2.5, -9.5), (0, -12), (-2, -11)]
    tile.wire(smooth(hook, closed=False), 0.17, "steel")


def tray(tile: Tile, rng: Rng) -> None:
    """Draw a baking tray of sheet steel, with its rim."""
    outline = rounded((0, 0), rng.uniform(32, 36), rng.uniform(22, 25), 1.5)
    tile.polygon(outline, 0.09, "steel")
    tile.wire(outline, 0.1, "steel", closed=True, thickness=1.2)
    tile.wire(outline * 0.93, 0.06, "steel", closed=True, thickness=0.4)


def poles(tile: Tile, rng: Rng) -> None:
    """Draw a folded walking pole or tent poles: thin tubes, side by side."""
    for y in (-1.2, 0, 1.2):
        half = rng.uniform(17, 19)
        tile.rod((-half, y), (half, y), 0.55, "steel", 0.47)
        tile.rod((half - 6, y), (half, y), 0.7, "aluminium", 0.5)
    tile.rod((-20, 0), (-12, 0), 1.6, "rubber", 0.8)


def spray_and_tape(tile: Tile, rng: Rng) -> None:
    """Draw rolls of tape and spools of wire."""
    outer = rng.uniform(3, 5.5)
    material, cm = str(rng.choice(["plastic", "pvc"])), rng.uniform(1.5, 3)
    tile.disc((0, 0), outer, cm, material)
    tile.disc((0, 0), outer * 0.6, -cm, material)
    tile.wire(ellipse((0, 0), outer * 0.6, outer * 0.6), 0.2, "board", closed=True, thickness=4)
    for share in (0.7, 0.8, 0.9):
        tile.wire(ellipse((0, 0), outer * share, outer * share), 0.07, material, True, cm * 0.4)
