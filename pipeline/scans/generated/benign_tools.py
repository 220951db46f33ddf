"""Benign tools and small hardware. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.benign_metal import metal_of
from pipeline.scans.generated.shapes import Rng, Tile, ellipse, rounded, smooth


def wrench(tile: Tile, rng: Rng) -> None:
    """Draw a spanner with an open and a ring end."""
    half, metal = rng.uniform(7, 11), "steel"
    thick = 0.16
    shaft = [(-half, -0.8), (half, -0.6), (half, 0.6), (-half, 0.8)]
    tile.polygon(shaft, thick, metal)
    tile.polygon([(-half - 1.4, -1.8), (-half + 1, -1.4), (-half + 1, 1.4), (-half - 1.4, 1.8),
                  (-half - 1.4, 0.8), (-half, 0.6), (-half, -0.6), (-half - 1.4, -0.8)],
                 thick * 1.4, metal)  # fmt: skip
    tile.disc((half, 0), 1.4, thick * 1.3, metal)
    tile.disc((half, 0), 0.8, -thick * 1.3, metal)


def pliers(tile: Tile, rng: Rng) -> None:
    """Draw pliers: two levers crossing at a rivet, handles in plastic."""
    spread = rng.uniform(0.8, 2.6)
    for side in (-1, 1):
        jaw = [
            (-5.5, 0.1 * side),
            (-5.2, 0.9 * side),
            (-2, 1.3 * side),
            (0, 0.9 * side),
            (0, -0.6 * side),
        ]
        tile.polygon(jaw, 0.22, "steel")
        lever = smooth(
            [(-0.5, -0.4 * side), (3, -1.2 * spread * side), (12, -spread * side)], False
        )
        tile.wire(lever, 0.4, "steel", thickness=0.2)
        tile.wire(lever[2:], 0.75, "rubber", thickness=0.6)
    tile.disc((-0.8, 0), 0.8, 0.25, "steel")


def screwdriver(tile: Tile, rng: Rng) -> None:
    """Draw a screwdriver, at times several side by side."""
    for index in range(rng.integers(1, 5)):
        y, half = 2.6 * index - 3, rng.uniform(7, 11)
        tile.rod((-half, y), (2, y), rng.uniform(0.2, 0.4), "steel")
        tile.rod((1, y), (half, y), rng.uniform(0.9, 1.4), "plastic")
        tile.rod((2, y), (4, y), 0.35, "steel")


def socket_set(tile: Tile, rng: Rng) -> None:
    """Draw a tool case: sockets in rows, a ratchet, bits."""
    tile.shell(rounded((0, 0), 22, 13, 1), 0.25, 4, "plastic")
    for x in np.arange(-9, 9.5, 2.6):
        radius = rng.uniform(0.6, 1.2)
        tile.disc((x, -4), radius, 0.5, "steel")
        tile.disc((x, -4), radius * 0.6, -0.5, "steel")
        tile.rod((x, 2.2), (x, 5.2), radius * 0.55, "steel", radius * 0.3)
    tile.rod((-8, 0), (6, 0), 0.55, "steel")
    tile.disc((7.5, 0), 1.7, 1.1, "steel")


def scissors(tile: Tile, rng: Rng) -> None:
    """Draw blunt household scissors: rings of plastic, short steel arms."""
    length = rng.uniform(5, 9)
    for side in (-1, 1):
        tile.polygon(
            [(0, 0.3 * side), (-length, 0.2 * side), (0.5 - length, 1.1 * side), (0.5, 0.9 * side)],
            0.2,
            "steel",
        )
        tile.wire(smooth(ellipse((6.4, -2.2 * side), 2.6, 1.6)), 0.45, "plastic", closed=True)
        tile.wire([(0, 0.5 * side), (4.2, -1.6 * side)], 0.45, "steel", thickness=0.25)
    tile.disc((0.2, 0), 0.45, 0.5, "steel")


def bolts(tile: Tile, rng: Rng) -> None:
    """Draw a bag of screws, nuts and washers."""
    for _ in range(rng.integers(10, 30)):
        x, y = rng.normal(0, 2.8, 2)
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 4)
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        if rng.random() < 0.6:
            tile.rod((x, y), end, rng.uniform(0.15, 0.35), "steel")
            tile.disc((x, y), rng.uniform(0.35, 0.65), 0.4, "steel")
        else:
            tile.wire(ellipse((x, y), 0.6, 0.6, 12), 0.2, metal_of(rng), closed=True)
