"""Whole firearms: handguns and long guns, assembled from `gun_parts`. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.gun_parts import (
    cartridge,
    draw_barrel,
    draw_frame,
    draw_magazine,
    draw_slide,
    draw_spring,
)
from pipeline.scans.generated.shapes import Rng, Tile, ellipse, smooth


def pistol(tile: Tile, rng: Rng) -> None:
    """Draw a self-loading pistol: slide over barrel and spring, frame, magazine in the grip."""
    length, grip = rng.uniform(11, 15), rng.uniform(7, 9)
    polymer = rng.random() < 0.85
    metal = "aluminium" if rng.random() < 0.15 else "steel"
    shifted = tile.at(-length * 0.45, -grip * 0.3)
    draw_slide(shifted, rng, length, rng.uniform(2.0, 2.5), metal)
    draw_barrel(shifted.at(length * 0.42, 0.95), length * 0.6, 0.66, 0.45)
    draw_spring(shifted, (length * 0.5, 2.1), (length * 0.95, 2.1), 0.35)
    frame = shifted.at(0, 2.2)
    draw_frame(frame, rng, length * 0.96, grip, polymer)
    if rng.random() < 0.8:
        lean = grip * 0.18
        width = length * 0.19
        draw_magazine(frame, rng, (length * 0.165, 0.8), (width, grip - 0.4), lean)
    shifted.polygon([(-0.2, 1), (0.6, 1.2), (0.1, 2.6), (-0.9, 1.6)], 0.6, "steel")


def revolver(tile: Tile, rng: Rng) -> None:
    """Draw a revolver: barrel with rib, frame, loaded cylinder, guard, hammer, wooden grip."""
    length = rng.uniform(4, 9)
    gun = tile.at(-2 - length * 0.3, -2)
    gun.rod((4.6, 0), (4.6 + length, 0), 0.8, "steel", 0.47)
    gun.box((4.6 + length / 2, -0.8), (length, 0.5), 0.5, "steel")
    gun.rod((4.6, 1.3), (4.6 + length * 0.6, 1.3), 0.4, "steel")
    gun.box((4.2 + length, -1.3), (0.8, 0.7), 0.3, "steel")
    gun.polygon([(-1.6, -1.3), (5, -1.3), (5, 3.2), (0, 3.6), (-1.8, 4.2), (-2, 0)], 0.5, "steel")
    gun.box((2.3, 0.9), (4.4, 3.6), -0.35, "steel")
    gun.rod((0.2, 0.9), (4.4, 0.9), 1.95, "steel", 1.3)
    for y in (-0.4, 0.9, 2.2):
        gun.rod((0.2, y), (4.4, y), 0.62, "steel", 0.48)
        if rng.random() < 0.7:
            cartridge(gun, (0.2, y), (1, 0), 0.9, 3.2)
    guard = smooth([(0, 3.4), (0.2, 6), (3, 6.2), (4.4, 3.2)], closed=False)
    gun.wire(guard, 0.25, "steel", thickness=0.8)
    gun.wire(smooth([(1.6, 3.4), (1.4, 4.4), (2.2, 5.4)], False), 0.25, "steel", thickness=0.5)
    gun.polygon([(-1.6, -1), (-0.4, -1.2), (-1.8, -2.8), (-2.8, -2.2)], 0.6, "steel")
    grip = rng.uniform(7.5, 10)
    outline = smooth(
        [(-1.8, 1), (0, 3.4), (-1.2, 5), (-1.6, grip), (-5, grip + 0.6), (-4, 4), (-2.6, 2)]
    )
    gun.polygon(outline, 2.6, str(rng.choice(["wood", "rubber", "nylon"])))
    gun.wire(outline, 0.3, "steel", closed=True, thickness=0.55)


def submachine_gun(tile: Tile, rng: Rng) -> None:
    """Draw a submachine gun: tubular receiver with its bolt, long magazine, wire stock."""
    body, barrel = rng.uniform(20, 27), rng.uniform(6, 14)
    gun = tile.at(-body * 0.45, -2)
    metal, bore = ("steel", 1.7) if rng.random() < 0.5 else ("aluminium", 1.3)
    gun.rod((0, 0), (body, 0), 1.9, metal, bore)
    gun.rod((body * 0.38, 0), (body * 0.64, 0), 1.55, "steel", 1.3)
    draw_spring(gun, (0.5, 0), (body * 0.35, 0), 1.0, 0.1)
    draw_barrel(gun.at(body * 0.7, 0), body * 0.3 + barrel, 0.72, 0.48)
    for x in np.linspace(0.75, 0.97, 4) * body:
        gun.disc((x, 0), 0.5, -0.4, "steel")
    size = (rng.uniform(2.6, 3.4), rng.uniform(11, 15))
    draw_magazine(gun, rng, (body * 0.6, 1.6), size, curve=float(rng.choice([0, 1.8])))
    _grip_and_trigger(gun, rng, body * 0.28)
    if rng.random() < 0.7:
        stock = [(0, -1), (-13, -1), (-13, 4.5), (-11.5, 4.5), (0, 1)]
        gun.wire(smooth(stock, closed=False, rounds=1), 0.5, "steel")
        gun.rod((-13, 0), (0, 0), 1, "steel", 0.7)
    gun.box((body * 0.95, -2.4), (0.7, 1.4), 0.5, "steel")


def carbine(tile: Tile, rng: Rng) -> None:
    """Draw a short rifle: receiver with bolt carrier, gas tube, handguard, curved magazine."""
    body, barrel = rng.uniform(20, 25), rng.uniform(16, 24)
    gun = tile.at(-body * 0.5 - 1, -2)
    metal, gauge = ("steel", 0.14) if rng.random() < 0.4 else ("aluminium", 0.5)
    gun.shell([(0, -1.8), (body, -1.8), (body, 2.4), (0, 2.4)], gauge, 2, metal)
    gun.rod((body * 0.3, -0.6), (body * 0.8, -0.6), 0.85, "steel", 0.66)
    draw_spring(gun, (0.4, -0.8), (body * 0.35, -0.8), 0.6, 0.09)
    draw_barrel(gun.at(body * 0.85, 0.6), body * 0.15 + barrel, 0.72, 0.45)
    gun.rod((body, -1.2), (body + barrel * 0.65, -1.2), 0.6, "steel", 0.45)
    furniture = str(rng.choice(["wood", "nylon", "nylon"]))
    gun.box((body + barrel * 0.3, 0), (barrel * 0.5, 4.2), 2.6, furniture, 1)
    gun.polygon(
        [(body + barrel * 0.85, 0.6), (body + barrel * 0.92, 0.6), (body + barrel * 0.9, -3)],
        0.6,
        "steel",
    )
    size = (rng.uniform(3.4, 4.6), rng.uniform(10, 14))
    draw_magazine(gun, rng, (body * 0.72, 2.2), size, -2, rng.uniform(0, 2.4))
    _grip_and_trigger(gun, rng, body * 0.3)
    if rng.random() < 0.75:
        stock = [(0, -1.4), (-12, -0.6), (-19, 0.5), (-19.5, 8), (-17, 8), (-6, 3), (0, 2)]
        gun.polygon(smooth(stock, rounds=1), rng.uniform(2, 3), furniture)
        gun.wire([(-19.2, 0.8), (-19.3, 7.8)], 0.3, "steel", thickness=2)
        gun.rod((-18, 0.8), (0, 0), 0.9, "steel", 0.7)


def sawn_off(tile: Tile, rng: Rng) -> None:
    """Draw a shotgun cut short: two barrels, break action, hammers, a stub of a wooden stock."""
    length = rng.uniform(18, 34)
    gun = tile.at(-length * 0.4, -1)
    for y in (-0.95, 0.95):
        gun.rod((0, y), (length, y), 1.1, "steel", 0.88)
        if rng.random() < 0.6:
            cartridge(gun, (0.1, y), (1, 0), 1.7, 6)
    gun.polygon([(-6, -1.4), (0, -2), (0, 2.6), (-4, 3), (-6.5, 2)], 0.5, "steel")
    gun.box((length * 0.35, 2.4), (length * 0.5, 2.2), 3.0, "wood", 0.9)
    stock = [(-5.5, -1.2), (-9, 0.5), (-14, 5), (-12.5, 8), (-9.5, 5), (-6, 2.4)]
    gun.polygon(smooth(stock), 3.2, "wood")
    gun.wire([(-5.5, 0.4), (-9, 2.4), (-13, 6.4)], 0.7, "steel", thickness=0.4)
    guard = smooth([(-6, 2.6), (-5.6, 5), (-2.6, 5), (-2, 2.6)], False)
    gun.wire(guard, 0.22, "steel", thickness=0.8)
    for x in (-4.8, -3.6):
        gun.wire([(x, 2.6), (x - 0.2, 4.4)], 0.2, "steel", thickness=0.5)
    gun.polygon([(-5, -1.4), (-4, -1.6), (-5.6, -3.2)], 0.6, "steel")


def _grip_and_trigger(gun: Tile, rng: Rng, x: float) -> None:
    """Draw a pistol grip, trigger and guard below a receiver, at `x`."""
    lean = rng.uniform(1, 3)
    outline = [(x - 2, 1.8), (x + 1, 1.8), (x + 1 - lean, 10), (x - 2.2 - lean, 10)]
    gun.shell(outline, 0.45, 2.4, "nylon")
    gun.polygon([(x - 3, 1.6), (x + 4, 1.6), (x + 4, 3), (x - 2, 3)], 0.5, "steel")
    guard = smooth([(x + 1, 2.4), (x + 1.2, 5.4), (x + 4.4, 5.4), (x + 4.6, 2.4)], False)
    gun.wire(guard, 0.22, "steel", thickness=0.9)
    gun.wire([(x + 2.6, 2.4), (x + 2.3, 3.6), (x + 2.9, 4.8)], 0.25, "steel", thickness=0.5)
    gun.wire(ellipse((x + 0.5, 2.6), 0.6, 0.6, 10), 0.2, "steel", closed=True)


HANDGUNS = (pistol, revolver)
LONG_GUNS = (submachine_gun, carbine, sawn_off)
