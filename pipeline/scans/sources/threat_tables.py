"""Finds images with threats in tables, a format of labels that no source reads."""

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from pipeline.scans.sources.pairing import all_by_end, find_by_end, words_of

# Heads of columns of classes, and the words there that mean no threat.
LABEL_HEADS = frozenset(
    ("abnormal", "anomaly", "category", "class", "classes", "defect", "label", "target", "threat")
)
NORMAL_WORDS = ("", "-1", "0", "0.0", "false", "good", "negative", "no", "none", "normal", "ok")
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
    write a row for each object, with the class in a column. If `classes` is empty, as for a set of
    normal images, every class counts that `NORMAL_WORDS` does not list, and a table of two columns
    may lack heads.
    """
    ends = all_by_end(images)
    names = {name.casefold() for name in classes}
    table_of: dict[Path, Path] = {}
    for table in tables:
        rows = _rows(table)
        first = rows[0] if rows else []
        heads = [cell.casefold() for cell in first]
        is_name = [not cell.isdecimal() and find_by_end(ends, cell) is not None for cell in first]
        if not names and len(heads) == 2 and any(is_name):  # no heads, but an image and its class
            heads = ["" if name else "class" for name in is_name]
        for row in rows:
            if len(row) > 1 and _calls_threat(heads, row, names):
                for cell in row:
                    table_of |= dict.fromkeys(find_by_end(ends, cell) or [], table)
    return table_of


def images_beside_boxes(images: Sequence[Path], tables: Iterable[Path]) -> dict[Path, Path]:
    """Return the images that a row names beside the numbers of a box, each with its table.

    The columns may have any order and names, or none, and commas, semicolons, tabs or bars between
    them: VIA, Roboflow, RetinaNet.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        for name in {image.name, image.stem}:
            if not name.isdecimal():  # a number in a row may have another meaning
                by_name[name.casefold()].append(image)
    table_of: dict[Path, Path] = {}
    for table in tables:
        for line in _text(table).splitlines():
            for cell in BETWEEN_CELLS.split(line):
                name = cell.strip(" \"'").replace("\\", "/").rpartition("/")[2]
                named = by_name.get(name.casefold(), [])
                if named and len(NUMBER.findall(line.replace(cell, ""))) >= NUMBERS_OF_A_BOX:
                    table_of |= dict.fromkeys(named, table)
    return table_of


def _rows(table: Path) -> list[list[str]]:
    """Return the rows of a table, with its heads, if it has any, as first row.

    The delimiter is the most frequent of comma, semicolon, tab and bar in the first line, or else
    white space.
    """
    text = _text(table)
    lines = text.splitlines()
    delimiter = max(",;\t|", key=lines[0].count) if lines else ","
    if lines and delimiter not in lines[0]:
        return [line.split() for line in lines]
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a polygon's cell can be longer
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]


def _calls_threat(heads: Sequence[str], row: Sequence[str], names: Collection[str]) -> bool:
    """Return whether a row has one of the abnormal classes; the heads are in lower case."""
    cells = list(zip(heads, row, strict=False))
    if names:
        return any(cell.casefold() in names for cell in row) or any(
            head in names and cell.casefold() in YES for head, cell in cells
        )
    class_cells = [cell for _, cell in cells if cell in ("1", "0", "-1")]
    return any(
        cell.casefold() not in NORMAL_WORDS
        for head, cell in cells
        if any({word, word.removesuffix("s")} & LABEL_HEADS for word in words_of(head))
    ) or ("1" in class_cells and len(class_cells) == len(cells) - 1)


def _text(table: Path) -> str:
    """Return the text of a table in UTF-16, or in UTF-8 with other bytes replaced."""
    content = table.read_bytes()
    encoding = "utf-16" if content.startswith(UTF_16) else "utf-8-sig"
    return content.decode(encoding, errors="replace")
