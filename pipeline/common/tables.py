"""Tables of text, for people."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate


def text_table(heads: Sequence[str], rows: Iterable[Sequence[object]], names: int = 1) -> str:
    """A table of columns as wide as what is in them, under their heads.

    Args:
        heads: of the columns.
        rows: a cell for each column, shown as `str` shows it; cells missing at the end are empty.
        names: how many columns, from the left, hold names. They are set left, all others right.
    """
    sides = ("left",) * names + ("right",) * (len(heads) - names)
    return tabulate([heads, *rows], tablefmt="plain", disable_numparse=True, colalign=sides)
