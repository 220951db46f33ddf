"""Sorts cells into tables: one table for each set and each size of training."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from experiments.paper.cell_results import Result
from experiments.paper.cells import CIFAR, METHODS, NO_METHOD, SEEDS, Size
from experiments.paper.paper_tables import CASES, CLASSES, table_1, table_2
from experiments.paper.protocols import Protocol
from pipeline.evaluation.scores import OVERALL
from pipeline.settings.methods import OPTIONS


@dataclass(frozen=True)
class Column:
    """A column of a table: a case, and the class that its figures are of."""

    title: str
    case: str
    class_name: str


@dataclass(frozen=True)
class Rows:
    """The cells of a method.

    Attributes:
        method: its name.
        results: the cells.
    """

    method: str
    results: Sequence[Result]

    def of(self, case: str, protocol: Protocol) -> dict[int, Result]:
        """Return the cells of a case that were scored by a protocol, by seed."""
        found = [r for r in self.results if r.cell.case == case and protocol in r.cell.protocols]
        return {result.cell.seed: result for result in found}

    def scored_by(self, protocol: Protocol) -> bool:
        """Return whether the protocol has scored any cell."""
        return any(protocol in result.cell.protocols for result in self.results)


@dataclass(frozen=True)
class Section:
    """A table.

    Attributes:
        number: 1 or 2, the paper's.
        title: the data and the size of the runs.
        data: the name or digest of the images.
        settings: the line of the other settings.
        size: the size of the runs.
        columns: its columns.
        trained: the rows of the methods.
        lines: the cells of the scores without a model, of the same patches.
    """

    number: int
    title: str
    data: str
    settings: str
    size: Size
    columns: Sequence[Column]
    trained: Sequence[Rows]
    lines: Rows

    def cases(self) -> list[str]:
        """Return the cases, in order."""
        return list(dict.fromkeys(column.case for column in self.columns))

    def seeds(self) -> list[int]:
        """Return the seeds that each cell should have: the runners' own, and those of any cell."""
        found = {result.cell.seed for rows in self.trained for result in rows.results}
        return sorted(found | set(SEEDS))

    def paper(self, method: str) -> dict[str, float]:
        """Return the paper's figures of a method, by the title of the column."""
        return table_1(method) if self.number == 1 else table_2(method)


def sections(results: Iterable[Result]) -> list[Section]:
    """Return the tables: Table I first, and of each the largest training first."""

    def place(result: Result) -> tuple[int, str, str]:
        cell = result.cell
        return (1, "", cell.data) if cell.data.startswith(CIFAR) else (2, cell.case, cell.data)

    def size(result: Result) -> tuple[float, ...]:
        values = asdict(result.cell.size)
        return (-values["ngf"], -values["epochs"], -values["share"], *values.values())

    found = []
    for where, of_place in groupby(sorted(results, key=place), place):
        all_there = list(of_place)
        lines = [r for r in all_there if r.cell.method == NO_METHOD]
        trained = sorted((r for r in all_there if r.cell.method != NO_METHOD), key=size)
        for _, group in groupby(trained, size):
            found.append(_section(where, list(group), lines))
    return found


def counted(count: int, name: str = "case") -> str:
    """Return a number with its noun."""
    return f"{count} {name}" + "s" * (count != 1)


def _section(
    where: tuple[int, str, str], trained: Sequence[Result], lines: Sequence[Result]
) -> Section:
    number, name, data = where
    size = trained[0].cell.size
    lines = [r for r in lines if _patches(r) == _patches(trained[0])]
    about = asdict(size)
    ngf, epochs, steps = (about.pop(key) for key in ("ngf", "epochs", "search_steps"))
    title = f"{name or data}, ngf {ngf:g}, {counted(epochs, 'epoch')}"
    if any(_searches(result) for result in trained):
        title += f", search of {steps:g} steps"
    if number == 2:
        title += f", patches {data[:8]}"
    settings = [f"{key} {value:g}" for key, value in about.items()]
    columns = (
        [Column(case, case, OVERALL) for case in CASES]
        if number == 1
        else _class_columns(name, [*trained, *lines])
    )
    return Section(
        number,
        title,
        data,
        ", ".join(settings),
        size,
        columns,
        list(_rows(trained)),
        Rows(NO_METHOD, lines),
    )


def _patches(result: Result) -> tuple[float, float]:
    """Return the shares of the patches that a cell uses."""
    return result.cell.size.share, result.cell.size.test_share


def _searches(result: Result) -> bool:
    cell = result.cell
    if cell.method == NO_METHOD:
        return False
    return "search_steps" in OPTIONS[cell.method]


def _class_columns(case: str, results: Sequence[Result]) -> list[Column]:
    """Return columns of the paper's classes that the set has, in its order, then of the others."""
    there = set().union(*(result.classes() for result in results))
    ordered = [*(n for n in CLASSES if n in there), *sorted(there - set(CLASSES))]
    return [Column(name, case, name) for name in ordered]


def _rows(results: Sequence[Result]) -> Iterator[Rows]:
    for method in METHODS:
        found = [result for result in results if result.cell.method == method]
        if found:
            yield Rows(method, found)
