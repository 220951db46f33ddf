"""Tables of text, for people."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from pipeline.common.lines import printable


def text_table(heads: Sequence[str], rows: Iterable[Sequence[object]], names: int = 1) -> str:
    """Return a text table; each column is as wide as its widest cell.

    Args:
        heads: the columns' headings.
        rows: a cell for each column, shown as `str` shows it; cells missing at the end are empty.
        names: number of columns, from the left, that are aligned left; the rest is aligned right.
    """
    sides = ("left",) * names + ("right",) * (len(heads) - names)
    cells = [[printable(str(cell)) for cell in row] for row in (heads, *rows)]
    return tabulate(cells, tablefmt="plain", disable_numparse=True, colalign=sides)
