"""The forbidden things: knives, and parts of firearms. Sizes in cm, whole weapons in `firearms`."""

from dataclasses import dataclass

import numpy as np

from pipeline.sources.embedded.shapes import Point, Tile, ellipse, rounded, smooth

Rng = np.random.Generator

HANDLES = ("wood", "plastic", "rubber", "steel", "aluminium", "porcelain")


@dataclass(frozen=True)
class Blade:
    """A blade that starts at x = 0 and points to +x.

    Attributes:
        length, height: of the blade, cm.
        spine: thickness of its back, cm.
        material: of which it is ground.
    """

    length: float
    height: float
    spine: float
    material: str


def draw_blade(tile: Tile, blade: Blade, outline: list[Point]) -> None:
    """A blade of an outline in shares of its length and height: thick at the back, ground thin."""
    points = np.array(outline) * (blade.length, blade.height)
    tile.polygon(points, 0.45 * blade.spine, blade.material)
    for share in (0.8, 0.62):  # towards the back, y = 0, it gets thicker
        tile.polygon(points * (0.985, share), 0.28 * blade.spine, blade.material)


def draw_handle(tile: Tile, rng: Rng, length: float, height: float) -> None:
    """A handle from x = 0 to -length: two scales on a tang of steel, with rivets."""
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
    reach = rng.uniform(0.35, 0.95)
    tile.box((-length * reach / 2, 0.45 * height), (length * reach, 0.45 * height), 0.22, "steel")
    for x in np.linspace(0.15, 0.8, rng.integers(2, 4)) * -length:
        tile.disc((x, 0.45 * height), 0.35, cm * 0.6, "brass" if rng.random() < 0.5 else "steel")


def kitchen_knife(tile: Tile, rng: Rng) -> None:
    """A cook's, carving or paring knife, of steel, now and then of zirconia."""
    length = rng.uniform(8, 17)
    material = "zirconia" if rng.random() < 0.2 else "steel"
    blade = Blade(length, length * rng.uniform(0.14, 0.26), rng.uniform(0.12, 0.26), material)
    outline = [(0, 0), (0.7, 0.0), (1, rng.uniform(0.1, 0.6)), (0.85, 0.75), (0.5, 1), (0, 1)]
    draw_blade(tile, blade, outline)
    draw_handle(tile, rng, rng.uniform(8, 11), rng.uniform(1.7, 2.5))


def dagger(tile: Tile, rng: Rng) -> None:
    """A dagger or combat knife: two edges, a fuller, a cross guard and a pommel."""
    length = rng.uniform(10, 16)
    blade = Blade(length, rng.uniform(2, 3), rng.uniform(0.2, 0.36), "steel")
    draw_blade(tile, blade, [(0, 0), (0.75, 0.05), (1, 0.5), (0.75, 0.95), (0, 1)])
    middle = blade.height / 2
    tile.wire([(0.5, middle), (length * 0.8, middle)], 0.25, "steel", thickness=-0.1)
    if rng.random() < 0.4:
        for x in np.arange(0.15, 0.6, 0.06) * length:
            tile.polygon([(x, 0), (x + 0.5, 0), (x + 0.1, 0.5)], -0.2, "steel")
    tile.box((-0.3, middle), (0.7, blade.height * 1.8), 0.7, "steel")
    draw_handle(tile, rng, rng.uniform(9, 11), blade.height * 0.9)
    tile.disc((-10, middle), 1.1, 0.8, "steel")


def folding_knife(tile: Tile, rng: Rng) -> None:
    """A pocket knife opened at some angle: steel liners, scales, a pivot, a spring."""
    length, height = rng.uniform(8.5, 11), rng.uniform(1.8, 2.4)
    turn = rng.uniform(-0.5, 0.9)
    outline = np.array([(0, 0), (0.7, 0), (1, 0.7), (0.7, 1), (0, 1)]) * (
        length * 0.85,
        height * 0.8,
    )
    cos, sin = np.cos(turn), np.sin(turn)
    points = outline @ np.array([[cos, sin], [-sin, cos]])
    tile.polygon(points, rng.uniform(0.15, 0.25), "steel")
    tile.polygon(points * 0.9, 0.1, "steel")
    case = rounded((-length / 2 + 0.5, height / 2), length + 1, height, 0.9)
    tile.polygon(case, 0.2, "steel")
    tile.polygon(case, 0.9, str(rng.choice(HANDLES[:3])))
    tile.wire([(-length + 1, 0.2), (0, 0.2)], 0.25, "steel", thickness=0.35)
    tile.disc((0, height / 2), 0.5, 0.8, "steel")


def cleaver(tile: Tile, rng: Rng) -> None:
    """A cleaver: a broad, nearly rectangular blade with a hole."""
    length = rng.uniform(11, 16)
    blade = Blade(length, rng.uniform(5, 8), rng.uniform(0.15, 0.3), "steel")
    draw_blade(tile, blade, [(0, 0), (1, 0.02), (1, 0.9), (0.95, 1), (0.06, 1), (0, 0.85)])
    tile.disc((length - 1.3, 1.2), 0.45, -blade.spine, "steel")
    draw_handle(tile, rng, rng.uniform(9, 11), 2.4)


def utility_knife(tile: Tile, rng: Rng) -> None:
    """A cutter: a thin segmented blade that slides in a holder of zinc or plastic."""
    length, height = rng.uniform(12, 15), rng.uniform(2, 2.8)
    out = rng.uniform(3, 6.5)
    blade = [(-7, -0.8), (out - 1.2, -0.8), (out, 0.8), (-7, 0.8)]
    tile.polygon(blade, 0.1, "steel")
    for x in np.arange(-6, out - 1, 1.0):
        tile.wire([(x, -0.8), (x + 0.7, 0.8)], 0.1, "steel", thickness=-0.05)
    holder = rounded((-length / 2, 0), length, height, 0.9)
    metal = rng.random() < 0.5
    tile.shell(holder, 0.12 if metal else 0.25, 0.9, "zinc" if metal else "plastic")
    tile.box(
        (-length / 2, 0), (length * 0.7, 0.5), -0.1 if metal else 0.2, "zinc" if metal else "steel"
    )
    tile.box((-3, -height / 2), (2, 0.9), 0.9, "plastic")


def cartridge(tile: Tile, base: Point, along: Point, calibre: float, length: float) -> None:
    """A cartridge from its base: brass case with powder, lead bullet. `along` is a unit vector."""
    at = [tuple(np.add(base, np.multiply(along, share * length))) for share in (0, 0.62, 0.95)]
    radius = calibre / 2
    tile.rod(at[0], at[1], radius, "brass", radius - 0.05)
    tile.rod(at[0], at[1], radius - 0.05, "powder")
    tile.rod(at[1], at[2], radius * 0.85, "lead")


def draw_magazine(
    tile: Tile, top: Point, size: Point, lean: float, rounds: int, curve: float
) -> None:
    """A box magazine hanging from `top`: sheet steel, a follower's spring, its cartridges.

    Args:
        size: width along the barrel and height, cm.
        lean: how far its foot lies behind its top, cm.
        rounds: cartridges in it, from the top.
        curve: how far its middle bulges to the front, cm.
    """
    width, height = size
    down = np.linspace(0, 1, 9)
    shift = -lean * down + curve * 4 * down * (1 - down)
    front = np.stack([top[0] + width / 2 + shift, top[1] + height * down], axis=1)
    outline = np.concatenate([front, front[::-1] - (width, 0)])
    tile.shell(outline, 0.08, 1.6, "steel")
    tile.polygon(
        outline[[8, 9]].repeat(2, axis=0) + [(0, 0), (0, 0.5), (0, 0.5), (0, 0)], 1.6, "plastic"
    )
    step = height / 12
    for index in range(rounds):
        share = (index + 0.6) * step / height
        x = top[0] - width * 0.42 - lean * share + curve * 4 * share * (1 - share)
        cartridge(tile, (x, top[1] + share * height), (0.995, -0.1), step * 0.9, width * 0.92)
    rest = np.linspace(rounds / 12 + 0.05, 0.95, 9)
    zigzag = [
        (
            top[0] - lean * s + curve * 4 * s * (1 - s) + (-1) ** i * width * 0.35,
            top[1] + height * s,
        )
        for i, s in enumerate(rest)
    ]
    tile.wire(zigzag, 0.08, "steel")


def draw_spring(tile: Tile, start: Point, end: Point, radius: float, gauge: float = 0.07) -> None:
    """A coil spring seen from its side."""
    count = max(int(np.hypot(*np.subtract(end, start)) / (5 * gauge)), 4)
    steps = np.linspace(0, 1, count)[:, None]
    axis = np.subtract(end, start) / np.hypot(*np.subtract(end, start))
    side = np.array([-axis[1], axis[0]]) * radius
    swing = np.where(np.arange(count) % 2 == 0, 1.0, -1.0)[:, None]
    tile.wire(np.add(start, steps * np.subtract(end, start)) + swing * side, gauge, "steel")


def draw_slide(tile: Tile, rng: Rng, length: float, height: float, metal: str) -> None:
    """A pistol's slide from x = 0 (rear) to length, y = 0 its top: hollow, with port and sights."""
    gauge = 0.22 if metal == "steel" else 0.5
    tile.box((length / 2, height / 2), (length, height), gauge, metal, 0.2)
    tile.box((length / 2, 0.3), (length, 0.6), gauge * 1.6, metal)
    tile.box((length * 0.12, height / 2), (length * 0.24, height), gauge * 1.8, metal)
    port = length * rng.uniform(0.38, 0.48)
    tile.box((port, height * 0.3), (length * 0.17, height * 0.5), -0.6 * gauge, metal)
    for x in np.linspace(0.04, 0.18, 6) * length:
        tile.wire([(x, 0.3), (x - 0.1, height)], 0.08, metal, thickness=-0.25 * gauge)
    for x in (0.4, length - 0.5):
        tile.box((x, -0.2), (0.5, 0.4), 0.3, "steel")


def draw_barrel(tile: Tile, length: float, radius: float, bore: float) -> None:
    """A barrel from x = 0 to length about y = 0, with its chamber and locking lug."""
    tile.rod((0, 0), (length, 0), radius, "steel", bore)
    tile.rod((0, 0), (length * 0.24, 0), radius * 1.2, "steel", radius)
    tile.polygon(
        [(0.2, radius), (length * 0.24, radius), (length * 0.2, radius * 2.2), (0.5, radius * 2)],
        0.6,
        "steel",
    )


def slide_part(tile: Tile, rng: Rng) -> None:
    """A slide taken off, sometimes with barrel and spring still in it."""
    length, height = rng.uniform(10, 15), rng.uniform(2.3, 3)
    draw_slide(tile, rng, length, height, "steel")
    if rng.random() < 0.4:
        draw_spring(tile, (length * 0.3, height * 0.8), (length, height * 0.8), 0.4)


def barrel_part(tile: Tile, rng: Rng) -> None:
    """A pistol barrel with its recoil spring beside it, or a rifled tube with a block."""
    length = rng.uniform(7, 14)
    draw_barrel(tile, length, rng.uniform(0.65, 0.9), rng.uniform(0.38, 0.5))
    if rng.random() < 0.5:
        draw_spring(tile, (0.5, 2.6), (length, 2.6), 0.5)
        tile.rod((0, 2.6), (length * 0.9, 2.6), 0.22, "steel")


def magazine_part(tile: Tile, rng: Rng) -> None:
    """A magazine, empty or loaded."""
    draw_magazine(tile, (0, -5), (rng.uniform(2.4, 3.2), rng.uniform(9, 13)), rng.uniform(-1, 2),
                  int(rng.integers(0, 9)), float(rng.choice([0, 0, 1.5])))  # fmt: skip


def cylinder_part(tile: Tile, rng: Rng) -> None:
    """A revolver's cylinder on end or from its side, chambers loaded in part."""
    radius = rng.uniform(1.9, 2.3)
    if rng.random() < 0.5:
        tile.disc((0, 0), radius, 1.6, "steel")
        for x, y in ellipse((0, 0), radius * 0.62, radius * 0.62, 6):
            tile.disc((x, y), radius * 0.27, -1.6, "steel")
            tile.disc((x, y), radius * 0.25, 0.2 * rng.integers(0, 2), "brass")
        tile.wire(ellipse((0, 0), radius, radius), 0.1, "steel", True, -0.6)
        return
    tile.rod((-2.2, 0), (2.2, 0), radius, "steel", radius * 0.75)
    for y in (-0.62, 0, 0.62):
        tile.rod((-2.2, y * radius), (2.2, y * radius), radius * 0.3, "steel", radius * 0.24)
        if rng.random() < 0.6:
            cartridge(tile, (-2.2, y * radius), (1, 0), radius * 0.45, 3.6)
    tile.rod((-3.4, 0), (4.6, 0), 0.3, "steel")


def bolt_part(tile: Tile, rng: Rng) -> None:
    """A bolt and its carrier: stepped cylinders, a cam slot, a handle, lugs."""
    length = rng.uniform(9, 15)
    tile.rod((0, 0), (length * 0.65, 0), 1.1, "steel", rng.uniform(0.7, 0.9))
    tile.rod((length * 0.6, 0), (length, 0), 0.75, "steel", 0.3)
    for y in (-0.9, 0.9):
        tile.box((length * 0.96, y), (0.9, 0.7), 0.7, "steel")
    tile.box((length * 0.4, -0.3), (length * 0.2, 0.6), -0.5, "steel")
    tile.rod((length * 0.15, 0), (length * 0.15 - 1, 3.6), 0.4, "steel")
    tile.ball((length * 0.15 - 1.1, 3.9), (0.75, 0.75, 0.75), "steel")


def draw_frame(tile: Tile, rng: Rng, length: float, grip: float, polymer: bool) -> None:
    """A pistol's frame, top at y = 0, x from 0 (rear) to length: dust cover, guard, trigger, grip.

    Args:
        grip: length of the grip, cm; it leans backwards.
        polymer: of nylon with steel rails in it, else of steel or aluminium.
    """
    metal = str(rng.choice(["steel", "aluminium"]))
    body, cm = ("nylon", 2.0) if polymer else (metal, 0.25 if metal == "steel" else 0.9)
    tile.box((length * 0.5, 0.7), (length, 1.5), cm, body, 0.3)
    lean = grip * rng.uniform(0.12, 0.3)
    back, front = 0.02 * length, 0.3 * length
    outline = [
        (back, 0.6),
        (front, 0.6),
        (front + 0.1, 2),
        (front - lean, grip),
        (back - lean, grip),
        (back - 0.3, 2),
    ]
    tile.shell(smooth(outline, rounds=1), cm * 0.28, cm * 0.9, body)
    guard = [(front, 1.2), (front + 0.4, 3.4), (front + 2.6, 3.6), (front + 3.6, 1.2)]
    tile.wire(smooth(guard, closed=False), 0.22, body, thickness=0.9 if body != "nylon" else 1.4)
    tile.wire(
        smooth([(front + 1.4, 1), (front + 1.2, 2), (front + 1.8, 3)], False),
        0.25,
        "steel",
        thickness=0.5,
    )
    tile.box((length * 0.3, 0.5), (length * 0.55, 0.45), 0.35, "steel")
    for x, y in ((0.08, 1.2), (0.3, 1.2), (0.42, 1.0)):
        tile.disc((x * length, y), 0.3, 1.4, "steel")
    draw_spring(tile, (back + 0.4, 2), (back + 0.4 - lean * 0.7, grip * 0.7), 0.28)


def frame_part(tile: Tile, rng: Rng) -> None:
    """A frame without its slide."""
    draw_frame(tile, rng, rng.uniform(11, 14), rng.uniform(8, 10), rng.random() < 0.5)
    tile.polygon([(-0.4, 0), (0.8, 0), (0.2, -1.4), (-0.9, -1)], 0.6, "steel")


KNIVES = (kitchen_knife, dagger, folding_knife, cleaver, utility_knife)
GUN_PARTS = (slide_part, barrel_part, magazine_part, cylinder_part, bolt_part, frame_part)
