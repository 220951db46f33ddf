"""The tables of objects: their kinds, their extent, and how often they are packed."""

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
        in_bag, in_parcel: weight of this kind among the objects packed into a bag or a parcel.
    """

    draw: Callable[[Tile, np.random.Generator], None]
    reach: float
    in_bag: float = 1.0
    in_parcel: float = 1.0


CLOTHES = Item(soft.clothes, 20)

BENIGN = (
    Item(soft.roll, 13, 1.0, 0.3),
    Item(soft.shoe, 16, 2.0, 0.3),
    Item(soft.book, 16, 1.0, 0.8),
    Item(soft.bottle, 14, 1.5, 1.0),
    Item(soft.toiletries, 13, 1.2, 0.2),
    Item(soft.food, 13, 1.0, 0.6),
    Item(soft.umbrella, 23, 1.2, 0.2),
    Item(soft.belt, 13, 1.0, 0.2),
    Item(soft.glasses, 9, 0.8, 0.2),
    Item(soft.toy, 11, 0.7, 0.5),
    Item(electric.laptop, 22, 1.2, 0.3),
    Item(electric.tablet, 16, 1.0, 0.4),
    Item(electric.charger, 13, 2.0, 1.0),
    Item(electric.cables, 13, 1.2, 0.8),
    Item(electric.power_bank, 8, 1.0, 0.6),
    Item(electric.batteries, 9, 0.8, 0.8),
    Item(electric.camera, 11, 1.0, 0.4),
    Item(electric.hair_dryer, 17, 1.2, 0.4),
    Item(electric.power_tool, 19, 0.8, 1.6),
    Item(electric.headphones, 12, 0.8, 0.4),
    Item(metal.keys, 9, 1.2, 0.2),
    Item(metal.coins, 11, 0.8, 0.1),
    Item(tools.wrench, 14, 0.9, 1.2),
    Item(tools.pliers, 14, 0.9, 1.0),
    Item(tools.screwdriver, 13, 0.8, 0.8),
    Item(tools.hammer, 16, 0.6, 0.8),
    Item(tools.socket_set, 14, 0.6, 1.2),
    Item(metal.can, 11, 1.2, 1.2),
    Item(metal.pan, 20, 0.7, 0.8),
    Item(metal.cutlery, 13, 0.8, 0.5),
    Item(metal.padlock, 6, 1.0, 0.5),
    Item(metal.bicycle_lock, 12, 0.8, 0.5),
    Item(metal.chain, 10, 0.8, 0.2),
    Item(metal.thermos, 15, 1.0, 0.6),
    Item(metal.bracket, 14, 0.6, 1.4),
    Item(metal.pipes, 13, 0.6, 1.6),
    Item(metal.gear, 7, 0.5, 1.6),
    Item(metal.casting, 10, 0.6, 1.8),
    Item(metal.tripod, 22, 0.7, 0.5),
    Item(tools.scissors, 11, 0.7, 0.4),
    Item(tools.bolts, 13, 0.6, 1.0),
    Item(metal.spray_and_tape, 6, 0.7, 0.8),
    Item(goods.plates, 11, 1.0, 1.2),
    Item(goods.jars, 13, 1.0, 1.0),
    Item(goods.tin_box, 14, 1.2, 1.0),
    Item(goods.power_supply, 14, 1.0, 1.6),
    Item(goods.hard_drives, 17, 0.8, 1.4),
    Item(goods.iron, 14, 1.0, 0.5),
    Item(goods.dumbbell, 13, 0.5, 0.6),
    Item(goods.speaker, 14, 1.0, 0.8),
    Item(goods.kettle, 14, 0.8, 0.6),
    Item(goods.brake_disc, 11, 0.3, 1.2),
    Item(goods.valve, 11, 0.4, 1.4),
    Item(goods.machine, 16, 0.8, 1.4),
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
