"""The tables of objects: their kinds and extent, what people pack for a trip, trade goods."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.scans.generated import benign_electronics as electric
from pipeline.scans.generated import benign_goods as goods
from pipeline.scans.generated import benign_metal as metal
from pipeline.scans.generated import benign_soft as soft
from pipeline.scans.generated import benign_tools as tools
from pipeline.scans.generated import firearms, gun_parts, knives
from pipeline.scans.generated.shapes import Tile


@dataclass(frozen=True)
class Item:
    """One kind of object.

    Attributes:
        draw: function that draws one object about the origin of a tile.
        reach: largest distance of the object's points from the origin, cm.
        is_flat: whether people lay it flat and along the bag, such as a laptop.
    """

    draw: Callable[[Tile, np.random.Generator], None]
    reach: float
    is_flat: bool = False


@dataclass(frozen=True)
class Packed:
    """How often an item set holds a kind: `least` to `most` pieces, side by side."""

    item: Item
    least: int
    most: int


CLOTHES = Item(soft.clothes, 18, is_flat=True)

BATTERIES = Item(electric.batteries, 9)
BELT = Item(soft.belt, 13)
BOLTS = Item(tools.bolts, 13)
BOOK = Item(soft.book, 16, is_flat=True)
BOTTLE = Item(soft.bottle, 14)
CABLES = Item(electric.cables, 13)
CAMERA = Item(electric.camera, 11)
CAN = Item(metal.can, 11)
CHARGER = Item(electric.charger, 13)
COINS = Item(metal.coins, 11)
CUTLERY = Item(metal.cutlery, 13)
FOOD = Item(soft.food, 13)
GLASSES = Item(soft.glasses, 9)
HAIR_DRYER = Item(electric.hair_dryer, 17)
HANGER = Item(metal.hanger, 22, is_flat=True)
HEADPHONES = Item(electric.headphones, 12)
JARS = Item(goods.jars, 13)
KEYS = Item(metal.keys, 9)
LAPTOP = Item(electric.laptop, 22, is_flat=True)
LENS = Item(electric.lens, 8)
PAN = Item(metal.pan, 20)
PLATES = Item(goods.plates, 11)
PLIERS = Item(tools.pliers, 14)
POLES = Item(metal.poles, 21)
POWER_BANK = Item(electric.power_bank, 8)
ROLL = Item(soft.roll, 13)
SCISSORS = Item(tools.scissors, 11)
SCREWDRIVER = Item(tools.screwdriver, 13)
SHOE = Item(soft.shoe, 16)
TABLET = Item(electric.tablet, 16, is_flat=True)
TAPE = Item(metal.spray_and_tape, 6)
THERMOS = Item(metal.thermos, 15)
TIN = Item(goods.tin_box, 14, is_flat=True)
TOILETRIES = Item(soft.toiletries, 13)
TOY = Item(soft.toy, 11)
TRAY = Item(metal.tray, 22, is_flat=True)
TRIPOD = Item(metal.tripod, 22)
UMBRELLA = Item(soft.umbrella, 23)
WRENCH = Item(tools.wrench, 14)

ITEM_SETS: dict[str, tuple[Packed, ...]] = {
    "business": (
        Packed(LAPTOP, 1, 1),
        Packed(CHARGER, 1, 1),
        Packed(CABLES, 1, 2),
        Packed(HANGER, 3, 6),
        Packed(TABLET, 1, 1),
        Packed(BOOK, 1, 3),
        Packed(SHOE, 0, 2),
        Packed(UMBRELLA, 1, 2),
        Packed(BELT, 0, 1),
        Packed(GLASSES, 0, 1),
        Packed(KEYS, 0, 1),
        Packed(TOILETRIES, 1, 1),
    ),
    "family": (
        Packed(TOY, 1, 4),
        Packed(SHOE, 2, 4),
        Packed(UMBRELLA, 1, 3),
        Packed(CAN, 0, 4),
        Packed(BOTTLE, 1, 3),
        Packed(FOOD, 1, 3),
        Packed(TABLET, 1, 2),
        Packed(CABLES, 1, 2),
        Packed(TIN, 0, 1),
        Packed(HAIR_DRYER, 0, 1),
        Packed(SCISSORS, 0, 1),
        Packed(TOILETRIES, 1, 2),
    ),
    "sport": (
        Packed(POLES, 2, 5),
        Packed(SHOE, 2, 4),
        Packed(ROLL, 1, 3),
        Packed(THERMOS, 1, 3),
        Packed(BOTTLE, 1, 2),
        Packed(FOOD, 0, 2),
        Packed(TIN, 0, 1),
        Packed(COINS, 0, 1),
        Packed(POWER_BANK, 0, 1),
        Packed(CABLES, 0, 1),
    ),
    "tradesman": (
        Packed(SCREWDRIVER, 1, 3),
        Packed(WRENCH, 2, 5),
        Packed(PLIERS, 0, 2),
        Packed(BOLTS, 1, 3),
        Packed(CABLES, 1, 3),
        Packed(TAPE, 1, 3),
        Packed(TIN, 1, 2),
        Packed(SHOE, 0, 2),
        Packed(THERMOS, 0, 1),
    ),
    "camera": (
        Packed(CAMERA, 1, 2),
        Packed(LENS, 2, 4),
        Packed(TRIPOD, 0, 1),
        Packed(BATTERIES, 1, 2),
        Packed(CHARGER, 1, 2),
        Packed(CABLES, 1, 3),
        Packed(LAPTOP, 1, 1),
        Packed(HEADPHONES, 0, 1),
        Packed(SHOE, 0, 2),
        Packed(TOILETRIES, 0, 1),
    ),
    "kitchen": (
        Packed(CUTLERY, 2, 5),
        Packed(PAN, 0, 1),
        Packed(TRAY, 0, 1),
        Packed(CAN, 2, 6),
        Packed(JARS, 0, 2),
        Packed(PLATES, 1, 2),
        Packed(TIN, 1, 2),
        Packed(FOOD, 2, 5),
        Packed(BOTTLE, 1, 3),
        Packed(UMBRELLA, 0, 1),
    ),
}

TRADE_GOODS = (
    BOLTS,
    BOTTLE,
    CABLES,
    JARS,
    TIN,
    Item(tools.socket_set, 14),
    Item(metal.bracket, 14),
    Item(metal.pipes, 13),
    Item(metal.gear, 7),
    Item(metal.padlock, 6),
    Item(goods.power_supply, 14),
    Item(goods.hard_drives, 21),
    Item(goods.speaker, 14),
    Item(goods.brake_disc, 11),
    Item(goods.valve, 11),
)

THREATS: dict[str, tuple[Item, ...]] = {
    "knife": tuple(Item(draw, 20) for draw in knives.KNIVES),
    "gun": tuple(Item(draw, 19) for draw in firearms.HANDGUNS),
    "gun_part": tuple(Item(draw, 18) for draw in gun_parts.GUN_PARTS),
    "full_weapon": (
        *(Item(draw, 19) for draw in firearms.HANDGUNS),
        *(Item(draw, 46) for draw in firearms.LONG_GUNS),
    ),
}
