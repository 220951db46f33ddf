"""Reads the cells that the repository keeps, and those that runners left in folders."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from experiments.paper.author_runs import is_shown
from experiments.paper.authors import ROWS, read_lines
from experiments.paper.cells import CELLS, read_cells
from pipeline.common.errors import InputError

REPOSITORY = Path(__file__).parent / "cells"


class Lines(NamedTuple):
    """The lines of `cells.jsonl` and of `authors.jsonl`; of equal ones, the last counts."""

    cells: list[dict[str, Any]]
    authors: list[dict[str, Any]]


def read_folders(folders: Iterable[Path]) -> Lines:
    """Read the cells of all folders, and print how many lines no page shows.

    Raises:
        InputError: a folder has neither file.
    """
    lines = Lines([], [])
    for folder in folders:
        if not any((folder / name).exists() for name in (CELLS, ROWS)):
            raise InputError(f"{folder}: no {CELLS} or {ROWS}: give the --out of a runner")
        lines.cells.extend(read_cells(folder))
        lines.authors.extend(read_lines(folder))
    hidden = sum(not is_shown(row) for row in lines.authors)
    if hidden:
        print(f"{ROWS}: {hidden} lines of another width or other images: left out")
    return lines
