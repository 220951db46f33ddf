"""Which cells stand in which table: one for each set and each size of training."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby

from benchmarks.cell_runs import Result
from benchmarks.cells import CIFAR, METHODS, NO_METHOD, SEEDS, Cell, Size, settings_of
from benchmarks.paper_tables import CASES, CLASSES, table_1, table_2
from pipeline.evaluation import OVERALL
from pipeline.protocols import Protocol

SCORING = ("search_steps", "test_share")  # what of a size is none of the training


@dataclass(frozen=True)
class Column:
    """A column of a table: a case, and the class that its figures are of."""

    title: str
    case: str
    class_name: str


@dataclass(frozen=True)
class Rows:
    """The cells of a method that were scored with the same settings.

    Attributes:
        method: its name.
        note: what of the scoring's settings is not said at the table's head.
        results: the cells.
    """

    method: str
    note: str
    results: Sequence[Result]

    @property
    def test_share(self) -> float:
        """The share of the test patches that they were scored on."""
        return self.results[0].cell.size.test_share

    def of(self, case: str, protocol: Protocol) -> dict[int, Result]:
        """The cells of a case that were scored by a protocol, by seed."""
        found = [r for r in self.results if r.cell.case == case and protocol in r.cell.protocols]
        return {result.cell.seed: result for result in found}

    def scored_by(self, protocol: Protocol) -> bool:
        """Whether any of them was."""
        return any(protocol in result.cell.protocols for result in self.results)


@dataclass(frozen=True)
class Section:
    """A table.

    Attributes:
        number: 1 or 2, the paper's.
        title: what it was run on, and how large.
        settings: the other settings.
        columns: its columns.
        trained: the rows of the methods.
        lines: the rows of the scores without a model, of the same patches.
    """

    number: int
    title: str
    settings: str
    columns: Sequence[Column]
    trained: Sequence[Rows]
    lines: Sequence[Rows]

    def cases(self) -> list[str]:
        """The cases, in order."""
        return list(dict.fromkeys(column.case for column in self.columns))

    def seeds(self) -> list[int]:
        """The seeds that each cell should have: the runners' own, and those that any has."""
        found = {result.cell.seed for rows in self.trained for result in rows.results}
        return sorted(found | set(SEEDS))

    def paper(self, method: str) -> dict[str, float]:
        """The paper's figures of a method, by the title of the column."""
        return table_1(method) if self.number == 1 else table_2(method)


def sections(results: Iterable[Result]) -> list[Section]:
    """The tables, Table I first, of each the largest training first."""

    def place(result: Result) -> tuple[int, str, str]:
        cell = result.cell
        return (1, "", CIFAR) if cell.data == CIFAR else (2, cell.case, cell.data)

    def size(result: Result) -> tuple[float, ...]:
        values = training_size(result.cell.size)
        return (-values["ngf"], -values["epochs"], -values["share"], *values.values())

    found = []
    for where, of_place in groupby(sorted(results, key=place), place):
        all_there = list(of_place)
        lines = [r for r in all_there if r.cell.method == NO_METHOD]
        trained = sorted((r for r in all_there if r.cell.method != NO_METHOD), key=size)
        for _, group in groupby(trained, size):
            found.append(_section(where, list(group), lines))
    return found


def training_size(size: Size) -> dict[str, float]:
    """What of a size decides the training."""
    return {name: value for name, value in asdict(size).items() if name not in SCORING}


def _section(
    where: tuple[int, str, str], trained: Sequence[Result], lines: Sequence[Result]
) -> Section:
    number, name, data = where
    first = min(trained, key=_order).cell.size
    usual = replace(Size(), test_share=first.test_share)
    shares = {(r.cell.size.share, r.cell.size.test_share) for r in trained}
    lines = [r for r in lines if (r.cell.size.share, r.cell.size.test_share) in shares]
    about = {**training_size(first), "test_share": first.test_share}
    ngf, epochs = about.pop("ngf"), about.pop("epochs")
    title = f"{name or data}, ngf {ngf:g}, {epochs:g} epoch" + "s" * (epochs != 1)
    settings = [f"{key} {value:g}" for key, value in about.items()]
    columns = (
        [Column(case, case, OVERALL) for case in CASES]
        if number == 1
        else _class_columns(name, [*trained, *lines])
    )
    return Section(
        number,
        title,
        ", ".join(settings + [f"patches {data[:8]}"] * (number == 2)),
        columns,
        list(_rows(trained, usual)),
        list(_rows(lines, usual)),
    )


def _class_columns(case: str, results: Sequence[Result]) -> list[Column]:
    """The paper's classes that the set has, in the paper's order, then its own."""
    there = set().union(*(result.classes() for result in results))
    ordered = [*(n for n in CLASSES if n in there), *sorted(there - set(CLASSES))]
    return [Column(name, case, name) for name in ordered]


def _rows(results: Sequence[Result], usual: Size) -> Iterator[Rows]:
    def key(result: Result) -> tuple[int, str]:
        return _order(result), _note(result.cell, usual)

    for (_, note), group in groupby(sorted(results, key=key), key):
        found = list(group)
        yield Rows(found[0].cell.method, note, found)


def _order(result: Result) -> int:
    return (NO_METHOD, *METHODS).index(result.cell.method)


def _note(cell: Cell, usual: Size) -> str:
    """The settings of the scoring that are not the usual ones, where they matter."""
    size, steps = cell.size, usual.search_steps
    if cell.method != NO_METHOD:  # a method that does not search has the usual steps
        steps = settings_of(cell.method, size, cell.seed).model.search_steps
    return ", ".join(
        [f"search_steps {steps}"] * (steps != usual.search_steps)
        + [f"test_share {size.test_share:g}"] * (size.test_share != usual.test_share)
    )
