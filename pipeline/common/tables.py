"""Tables of text, for people."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from pipeline.common.lines import escape_line


def text_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a text table; the first column is aligned left, the others right.

    Args:
        headings: the columns' headings.
        rows: a cell for each column, shown as `str` shows it; cells missing at the end are empty.
    """
    sides = ("left", *("right",) * (len(headings) - 1))
    cells = [[escape_line(str(cell)) for cell in row] for row in (headings, *rows)]
    return tabulate(cells, tablefmt="plain", disable_numparse=True, colalign=sides)
