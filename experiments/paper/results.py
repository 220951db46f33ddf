"""The result tables: logs cells to MLflow, then writes `results.md` from MLflow's runs.

    python -m experiments.paper.results --cells work/table1 work/table2

The command logs no cell twice, and none at all without `--cells`. It does not change the text
outside of the two markers in `results.md`, which is written by hand, or a table of which MLflow has
no cell.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.paper.cell_runs import Result, find_results, log_cells
from experiments.paper.cells import CELLS, read_cells
from experiments.paper.figure4 import draw_figure_4
from experiments.paper.result_tables import NUMERALS, heading, picture, section_text
from experiments.paper.sections import Section, sections
from pipeline.common.errors import InputError
from pipeline.common.files import write_whole
from pipeline.tracking.tracker import Tracker

PAGE = "results.md"
BEGIN = "<!-- from here on written by `python -m experiments.paper.results` -->"
END = "<!-- to here -->"
HEAD = """\
AUC of the anomaly score: mean over the seeds, in parentheses the lowest and the highest seed; in
Table II also, in brackets, the 95% interval over resampled scans, averaged over the seeds. The mean
of the cases has the 95% interval over resampled cases. `reference_2019` minus its shuffled form is
the order of the test set alone; the other differences are batch-norm, best epoch and score as well.

"the paper" is what it prints. UBA and FFOB, its sets of Table II, are private, so there its figures
(full weapons are FFOB's) are of other scans than ours. Rows with a star let the test's labels leak
into the figures ([method.md](method.md)): they say what the leak makes, not what a detector is
worth. Rows without a model are of the same patches. "overall" is of all the abnormal classes that
the table has. Each size that was run has its own table, which names the cells that were not, and
stays as it is while MLflow has no cell of it.

Every cell is an MLflow run with the tags `skipscan.kind` (`cell`) and `skipscan.table` (1 or 2).
The commands do what is missing of theirs; seconds are of a cell's last process, where it was killed
and went on. Table II is of the patches that `dvc repro extract` leaves (SIXray: `dvc exp run -S
scans.source=sixray -S scans.folder=path/to/sixray -S scans.test_normal=0 extract`). This part of
the page is written by `make results`.
"""


def page(tables: Sequence[Section], text: str) -> str:
    """The page with these tables written anew, and the others that it has.

    Raises:
        InputError: the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    there, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{PAGE}: no lines {BEGIN!r} and {END!r}: put them where tables go")
    new = {heading(section): "\n".join(section_text(section)) + "\n" for section in tables}
    return f"{before}{BEGIN}\n\n{tables_text(tables_of(there) | new)}{END}{after}"


def tables_of(text: str) -> dict[str, str]:
    """The tables of a page that was written before, by their headings."""
    found = re.findall(r"^(### Table \w+: .*\n\n.*\n)((?:.*\n)*?)(?=### |\Z)", text, re.MULTILINE)
    return {heading: heading + rest for heading, rest in found}


def tables_text(tables: Mapping[str, str]) -> str:
    """Both of the paper's tables, as far as there are any."""
    text = f"## The paper's tables\n\n{HEAD}\n"
    for numeral in NUMERALS.values():
        title = f"### Table {numeral}"
        of_number = [table for table in tables.values() if table.startswith(f"{title}:")]
        text += "".join(of_number) or f"{title}\n\nNo training of it has been run.\n\n"
    return text


def write_results(results: Sequence[Result], folder: Path) -> None:
    """Write the page and the pictures."""
    tables = sections(results)
    text = page(tables, (folder / PAGE).read_text(encoding="utf-8"))
    for section in tables:
        if section.number == 1:
            draw_figure_4(folder / picture(section), section)
    write_whole(folder / PAGE, text.encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Result tables from MLflow")
    parser.add_argument("--cells", nargs="*", type=Path, default=[], help="what runners left")
    return parser.parse_args()


def main() -> None:
    """Log new cells, then write the tables."""
    given = _arguments()
    rows = [row for folder in given.cells for row in _cells_of(folder)]
    tracker = Tracker.open(later="python -m experiments.paper.results")
    results: list[Result] = []
    with tracker.forgiving():
        print(f"{log_cells(tracker, rows)} new cells in MLflow")
        results = find_results(tracker)
    if tracker.failed:
        raise SystemExit(1)
    if not results:
        raise InputError(f"{tracker.uri}: no cell there: give the --out of a runner as --cells")
    write_results(results, Path(__file__).parent)


def _cells_of(folder: Path) -> list[dict[str, object]]:
    if not (folder / CELLS).exists():
        raise InputError(f"{folder / CELLS}: no such file: give the --out of a runner")
    return read_cells(folder)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
