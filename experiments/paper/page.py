"""Writes the generated parts of `README.md` and `results.md`, and their pictures, from cells.

    python -m experiments.paper.page [--cells work/table1 work/table2 work/authors]

The cells are those in `experiments/paper/cells`, and those of the folders that `--cells` names. The
text outside of the markers is written by hand and stays. The same cells give the same bytes.
"""

import argparse
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from experiments.paper.author_criteria import criteria_table
from experiments.paper.author_figures import BARS, LINES, draw_shares, draw_table_1
from experiments.paper.author_runs import runs_of
from experiments.paper.author_tables import answer, factor_table, share_table, step_table, time_line
from experiments.paper.cell_folders import REPOSITORY, Lines, read_folders
from experiments.paper.cell_results import results_of
from experiments.paper.figure4 import draw_figure_4
from experiments.paper.result_tables import picture, tables_text
from experiments.paper.sections import sections
from experiments.run import run_main
from pipeline.common.errors import InputError
from pipeline.common.files import write_atomically

FOLDER = Path(__file__).parent
ANSWER, TABLES = "README.md", "results.md"
BEGIN = "<!-- from here on written by `python -m experiments.paper.page` -->"
END = "<!-- to here -->"


def with_parts(text: str, parts: Sequence[str], name: str) -> str:
    """Return the text of a page with these generated parts, in order, between the markers.

    Raises:
        InputError: the page does not have a pair of markers for each part.
    """
    begin, end = re.escape(BEGIN), re.escape(END)
    by_hand = re.split(f"(?<={begin}).*?(?={end})", text, flags=re.DOTALL)
    if len(by_hand) != len(parts) + 1:
        raise InputError(
            f"{name}: {len(by_hand) - 1} pairs of lines {BEGIN!r} and {END!r}, expected "
            f"{len(parts)}: put a pair where each generated part goes"
        )
    generated = (f"\n\n{part}\n" for part in parts)
    return "".join(chain(*zip(by_hand, generated, strict=False), by_hand[-1:]))


def page_texts(lines: Lines, folder: Path) -> dict[str, str]:
    """Return the text of each page in a folder, with the generated parts of these cells."""
    runs, results = runs_of(lines.authors), results_of(lines.cells)
    parts = {
        ANSWER: [
            answer(runs),
            share_table(runs),
            factor_table(runs),
            step_table(runs),
            criteria_table(runs, results),
            time_line(runs),
        ],
        TABLES: [tables_text(sections(results))],
    }
    return {
        name: with_parts((folder / name).read_text(encoding="utf-8"), of_page, name)
        for name, of_page in parts.items()
    }


def write_pages(lines: Lines, folder: Path) -> None:
    """Write the pages of a folder and their pictures."""
    texts = page_texts(lines, folder)
    runs = runs_of(lines.authors)
    draw_table_1(folder / BARS, runs)
    draw_shares(folder / LINES, runs)
    for section in sections(results_of(lines.cells)):
        if section.number == 1:
            draw_figure_4(folder / picture(section), section)
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pages and pictures from cells")
    parser.add_argument("--cells", nargs="*", type=Path, default=[], help="the --out of runners")
    return parser.parse_args()


def main() -> None:
    """Write the pages of this folder."""
    write_pages(read_folders([REPOSITORY, *_arguments().cells]), FOLDER)


if __name__ == "__main__":
    run_main(main)
