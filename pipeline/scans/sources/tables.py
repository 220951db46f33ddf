"""Finds images with threats in tables, a format of labels that no source reads."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.common.files import read_table
from pipeline.scans.sources.pairing import by_end, find_by_end

YES = ("1", "1.0", "true", "yes")
NUMBERS_OF_A_BOX = 4
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")
BETWEEN_CELLS = re.compile(r"[,;\t|]")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks


def images_in_tables(
    images: Sequence[Path], tables: Iterable[Path], classes: Iterable[str]
) -> dict[Path, Path]:
    """Return the images with one of the abnormal `classes` in a table's row, each with its table.

    SIXray's lists have a row for each image and a column for each class, 1 or -1. Other tools
    write a row for each object, with the class in a column.
    """
    ends = by_end(images)
    names = {name.casefold() for name in classes}
    found: dict[Path, Path] = {}
    for table in tables:
        try:
            rows = read_table(table)
        except (OSError, UnicodeDecodeError, csv.Error):
            continue  # not a readable table; the account counts it as ignored
        for row in rows:
            cells = {
                str(head).strip().casefold(): cell.strip()
                for head, cell in row.items()
                if isinstance(cell, str)
            }
            is_threat = any(
                cell.casefold() in names or (head in names and cell.casefold() in YES)
                for head, cell in cells.items()
            )
            if is_threat:
                named = (find_by_end(ends, cell) for cell in cells.values() if cell)
                found |= dict.fromkeys(filter(None, named), table)
    return found


def images_beside_boxes(images: Sequence[Path], tables: Iterable[Path]) -> dict[Path, Path]:
    """Return the images that a row names beside the numbers of a box, each with its table.

    The columns may have any order and names, or none, and commas, semicolons, tabs or bars between
    them: VIA, Roboflow, RetinaNet.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        for name in {image.name, image.stem}:
            if not name.isdecimal():  # a number in a row may be any other
                by_name[name.casefold()].append(image)
    found: dict[Path, Path] = {}
    for table in tables:
        content = table.read_bytes()
        encoding = "utf-16" if content.startswith(UTF_16) else "utf-8"
        for line in content.decode(encoding, errors="replace").splitlines():
            for cell in BETWEEN_CELLS.split(line):
                name = cell.strip(" \"'").replace("\\", "/").rpartition("/")[2]
                named = by_name.get(name.casefold(), [])
                if named and len(NUMBER.findall(line.replace(cell, ""))) >= NUMBERS_OF_A_BOX:
                    found |= dict.fromkeys(named, table)
    return found
