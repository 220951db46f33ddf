"""Finds images that a CSV file says something of: labels of a form that is not read."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from pipeline.files import read_rows

NOTHING = ("", "0", "-1", "0.0", "-1.0")  # a cell of a class that an image does not show


def images_in_tables(images: Sequence[Path], tables: Iterable[Path]) -> dict[Path, Path]:
    """The images for which a row of a table holds more than their name and "no such class".

    SIXray's lists have a row for each image and a column for each class, 1 or -1. Other tools
    write a row for each object.
    """
    by_stem = {image.stem: image for image in images}
    found: dict[Path, Path] = {}
    for table in tables:
        try:
            rows = read_rows(table)
        except (OSError, UnicodeDecodeError, csv.Error):
            continue  # no table that anybody could read; it is counted as ignored
        for row in rows:
            cells = [cell.strip() for cell in row.values() if isinstance(cell, str)]
            named = [by_stem[stem] for stem in map(_stem, cells) if stem in by_stem]
            if named and any(cell not in NOTHING and _stem(cell) not in by_stem for cell in cells):
                found[named[0]] = table
    return found


def _stem(cell: str) -> str:
    name = PurePath(cell.replace("\\", "/"))
    return name.stem if name.suffix else name.name
