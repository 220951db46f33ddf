"""Parts of firearms, drawn alone or in whole weapons. Sizes in cm."""

import numpy as np

from pipeline.scans.generated.shapes import Point, Rng, Tile, ellipse, smooth


def cartridge(tile: Tile, base: Point, along: Point, calibre: float, length: float) -> None:
    """Draw a cartridge from its base along a unit vector: brass case, powder, lead bullet."""
    at = [tuple(np.add(base, np.multiply(along, share * length))) for share in (0, 0.62, 0.95)]
    radius = calibre / 2
    tile.rod(at[0], at[1], radius, "brass", radius - 0.05)
    tile.rod(at[0], at[1], radius - 0.05, "powder")
    tile.rod(at[1], at[2], radius * 0.85, "lead")


def draw_magazine(
    tile: Tile, rng: Rng, top: Point, size: Point, lean: float = 0, curve: float = 0
) -> None:
    """Draw a box magazine hanging from `top`: its body, some cartridges, the spring below them.

    `size` is the magazine's width along the barrel and its height. Its foot is `lean` behind its
    top, and its middle bulges to the front by `curve`.
    """
    (width, height), rounds = size, int(rng.integers(7, 12))

    def middle(share: float) -> Point:
        bulge = curve * 4 * share * (1 - share)
        return top[0] - lean * share + bulge, top[1] + height * share

    body, gauge = (("steel", 0.1), ("aluminium", 0.3), ("steel", 0.14))[rng.integers(3)]
    spine = np.array([middle(share) for share in np.linspace(0, 1, 9)])
    outline = np.concatenate(
        [np.add(spine, (width / 2, 0)), np.subtract(spine[::-1], (width / 2, 0))]
    )
    tile.shell(outline, gauge, 1.6, body)
    tile.box(middle(0.98), (width, 0.5), 1.6, "nylon")
    for index in range(rounds):
        x, y = middle((index + 0.6) / 12)
        cartridge(tile, (x - width * 0.42, y), (0.995, -0.1), height / 13, width * 0.92)
    rest = np.linspace(rounds / 12 + 0.05, 0.95, 9)
    swing = [(width * 0.35 * (-1) ** index, 0.0) for index in range(len(rest))]
    tile.wire(np.add([middle(share) for share in rest], swing), 0.08, "steel")


def draw_spring(tile: Tile, start: Point, end: Point, radius: float, gauge: float = 0.07) -> None:
    """Draw a coil spring seen from its side."""
    count = max(int(np.hypot(*np.subtract(end, start)) / (5 * gauge)), 4)
    steps = np.linspace(0, 1, count)[:, None]
    axis = np.subtract(end, start) / np.hypot(*np.subtract(end, start))
    side = np.array([-axis[1], axis[0]]) * radius
    swing = np.where(np.arange(count) % 2 == 0, 1.0, -1.0)[:, None]
    tile.wire(np.add(start, steps * np.subtract(end, start)) + swing * side, gauge, "steel")


def draw_slide(tile: Tile, rng: Rng, length: float, height: float, metal: str) -> None:
    """Draw a hollow slide with port and sights, from x = 0 (rear) to length, top at y = 0."""
    gauge = 0.4 if metal == "steel" else 1.1
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
    """Draw a barrel from x = 0 to length about y = 0, with its chamber and locking lug."""
    tile.rod((0, 0), (length, 0), radius, "steel", bore)
    tile.rod((0, 0), (length * 0.24, 0), radius * 1.2, "steel", radius)
    tile.polygon(
        [(0.2, radius), (length * 0.24, radius), (length * 0.2, radius * 2.2), (0.5, radius * 2)],
        0.6,
        "steel",
    )


def slide_part(tile: Tile, rng: Rng) -> None:
    """Draw a slide taken off, sometimes with barrel and spring still in it."""
    length, height = rng.uniform(10, 13), rng.uniform(2.3, 2.8)
    draw_slide(tile, rng, length, height, "steel")
    if rng.random() < 0.4:
        draw_spring(tile, (length * 0.3, height * 0.8), (length, height * 0.8), 0.4)


def barrel_part(tile: Tile, rng: Rng) -> None:
    """Draw a pistol barrel with its recoil spring beside it, or a rifled tube with a block."""
    length = rng.uniform(7, 14)
    draw_barrel(tile, length, rng.uniform(0.65, 0.9), rng.uniform(0.38, 0.5))
    if rng.random() < 0.5:
        draw_spring(tile, (0.5, 2.6), (length, 2.6), 0.5)
        tile.rod((0, 2.6), (length * 0.9, 2.6), 0.22, "steel")


def magazine_part(tile: Tile, rng: Rng) -> None:
    """Draw a magazine, empty or loaded."""
    size = (rng.uniform(2.4, 3.2), rng.uniform(9, 13))
    draw_magazine(tile, rng, (0, -5), size, rng.uniform(-1, 2), float(rng.choice([0, 0, 1.5])))


def cylinder_part(tile: Tile, rng: Rng) -> None:
    """Draw a revolver's cylinder on end or from its side, chambers loaded in part."""
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
    """Draw a bolt and its carrier: stepped cylinders, a cam slot, a handle, lugs."""
    length = rng.uniform(9, 15)
    tile.rod((0, 0), (length * 0.65, 0), 1.1, "steel", rng.uniform(0.7, 0.9))
    tile.rod((length * 0.6, 0), (length, 0), 0.75, "steel", 0.3)
    for y in (-0.9, 0.9):
        tile.box((length * 0.96, y), (0.9, 0.7), 0.7, "steel")
    tile.box((length * 0.4, -0.3), (length * 0.2, 0.6), -0.5, "steel")
    tile.rod((length * 0.15, 0), (length * 0.15 - 1, 3.6), 0.4, "steel")
    tile.ball((length * 0.15 - 1.1, 3.9), (0.75, 0.75, 0.75), "steel")


def draw_frame(tile: Tile, rng: Rng, length: float, grip: float, polymer: bool) -> None:
    """Draw a pistol's frame, x from 0 (rear) to length, top at y = 0, with guard, trigger, grip.

    The grip is `grip` long and leans backwards. A `polymer` frame is of nylon with steel rails;
    other frames are of steel or aluminium.
    """
    metal = str(rng.choice(["steel", "aluminium"]))
    body, cm = ("nylon", 2.0) if polymer else (metal, 0.35 if metal == "steel" else 1.2)
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
    """Draw a frame without its slide."""
    draw_frame(tile, rng, rng.uniform(11, 14), rng.uniform(8, 10), rng.random() < 0.5)
    tile.polygon([(-0.4, 0), (0.8, 0), (0.2, -1.4), (-0.9, -1)], 0.6, "steel")


GUN_PARTS = (slide_part, barrel_part, magazine_part, cylinder_part, bolt_part, frame_part)
