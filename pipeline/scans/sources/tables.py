"""Finds images with threats in CSV files, a format of labels that no source reads."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.common.files import read_table
from pipeline.scans.sources.pairing import by_end, find_by_end

YES = ("1", "1.0", "true", "yes")


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
