"""The result tables as Markdown: ours next to the paper's, the leak's share, missing cells."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from experiments.paper.cell_results import PARTS, Result
from experiments.paper.cell_runner import SAMPLES
from experiments.paper.cells import CIFAR, METHODS, NO_METHOD, PROTOCOLS, SEEDS, Size
from experiments.paper.protocols import HONEST, REFERENCE, REFERENCE_SHUFFLED, Protocol
from experiments.paper.sections import Column, Rows, Section, counted
from pipeline.common.metrics import percentile_interval
from pipeline.evaluation.scores import ANOMALY, PCA
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES

NUMERALS = {1: "I", 2: "II"}
LEAKS = ((REFERENCE, HONEST), (REFERENCE_SHUFFLED, HONEST), (REFERENCE, REFERENCE_SHUFFLED))
RESAMPLES = 10_000  # behind the interval of a mean over cases
MIN_CASES = 5  # that have an interval
PLACES = {1: "--data path/to/cifar10", 2: "--patches data/patches --set"}

HEAD = f"""\
AUC of the anomaly score: mean over the seeds, in parentheses the lowest and the highest seed; in
Table II also, in brackets, the 95% interval over {SAMPLES} resamples of the scans, averaged over
the seeds. The mean of {MIN_CASES} or more cases has the 95% interval over {RESAMPLES:,} resamples
of the cases.
`reference_2019` minus its shuffled form is the order of the test set and the best epoch picked; the
other differences are batch-norm and, for Skip-GANomaly and GANomaly, the score as well.

"the paper" is the figure that the paper prints. UBA and FFOB, its sets of Table II, are private, so
there its figures (full weapons are FFOB's) are of other scans than ours. Rows with a star let the
test's labels leak into the figures ([how](README.md#protocols)): they show the size of the
leak, not how good a detector is. Rows without a model are of the same patches. "overall" is of all
the abnormal classes that the table has. Each size that was run has its own table, which names the
cells that were not.

The commands run the cells that their `--out` lacks: copy the files of `experiments/paper/cells`
there first.
Seconds are of a cell's last process, where it was killed and resumed. Table II is of the patches
that `dvc repro extract` leaves (SIXray: `dvc exp run -S scans.source=sixray
-S scans.folder=path/to/sixray -S scans.test_normal=0 extract`). A title has the start of the
digest of the patches (`table2.patches_digest`).
`python -m experiments.paper.log_cells` logs each cell as an MLflow run with the tags
`skipscan.kind` (`cell`) and `skipscan.table` (1 or 2).
"""

Cells = Sequence[str]


def tables_text(tables: Sequence[Section]) -> str:
    """Return both of the paper's tables, as far as there are any cells."""
    text = f"## The paper's tables\n\n{HEAD}\n"
    for number, numeral in NUMERALS.items():
        of_number = [table for table in tables if table.number == number]
        text += "".join("\n".join(section_text(table)) + "\n" for table in of_number)
        if not of_number:
            text += f"### Table {numeral}\n\nNo training of it has been run.\n\n"
    return text


def section_text(section: Section) -> Iterator[str]:
    """Yield a table with its commands, the leak, the missing cells, and how long it took."""
    titles = [column.title for column in section.columns]
    yield heading(section)
    yield "```bash\n" + "\n".join(commands(section)) + "\n```\n"
    yield markdown_table(["method", "scored", *titles], auc_rows(section))
    if section.number == 1:
        yield f"![This table as bars]({picture(section)})\n"
    yield "By how much one protocol's AUC is above another's, of the same trainings:\n"
    last = ["mean of the cases [95%]"] if section.number == 1 else []
    yield markdown_table(["method", "difference", *titles, *last], leak_rows(section))
    yield "Missing:\n\n" + "".join(f"- {line}\n" for line in [*missing(section)] or ["nothing"])
    head = ["method", "cells", " / ".join(PARTS), "seconds a cell", "hours", "on"]
    yield markdown_table(head, time_rows(section))


def heading(section: Section) -> str:
    """Return the heading of a table: its title, and the options of its runs."""
    return f"### Table {NUMERALS[section.number]}: {section.title}\n\n{section.settings}\n"


def picture(section: Section) -> str:
    """Return the name of a table's picture, which has its size, and its images unless `CIFAR`."""
    size = [f"{name}-{value}" for name, value in unusual(section.size).items()]
    data = [section.data] if section.data != CIFAR else []
    return "-".join([f"table{section.number}", *data, *size]) + ".png"


def auc_rows(section: Section) -> Iterator[Cells]:
    """Yield rows of each method, the paper's and each protocol's; then scores without a model."""
    for rows in section.trained:
        paper = section.paper(rows.method)
        yield [rows.method, "the paper", *(_number(paper.get(c.title)) for c in section.columns)]
        for protocol in PROTOCOLS:
            if rows.scored_by(protocol):
                name = protocol if protocol == HONEST else f"{protocol} *"
                yield ["", name, *_aucs(section, rows, protocol, ANOMALY)]
    if section.lines.results:
        for score in (PCA, *TRIVIAL_SCORES):
            yield [score, "no model", *_aucs(section, section.lines, HONEST, score)]


def leak_rows(section: Section) -> Iterator[Cells]:
    """Yield the rows of the differences between two protocols' AUCs of the same trainings."""
    for rows in section.trained:
        for above, below in LEAKS:
            found = [differences(rows, column, above, below) for column in section.columns]
            if any(found):
                cells = [_spread(values, "+.3f") if values else "" for values in found]
                if section.number == 1:
                    cells.append(mean_of_cases([values for values in found if values]))
                yield [rows.method, f"{above} minus {below}", *cells]


def differences(rows: Rows, column: Column, above: Protocol, below: Protocol) -> list[float]:
    """Return the difference for each training that was scored by both protocols."""
    pairs = [
        [result.figure(protocol, ANOMALY, column.class_name) for protocol in (above, below)]
        for result in rows.results
        if result.cell.case == column.case and {above, below} <= set(result.cell.protocols)
    ]
    return [a - b for a, b in pairs if a is not None and b is not None]


def mean_of_cases(by_case: Sequence[Sequence[float]]) -> str:
    """Return the mean over cases and its interval over resampled cases: seeds of one are alike.

    Fewer than `MIN_CASES` have their number instead.
    """
    means = [float(np.mean(values)) for values in by_case]
    if len(means) < MIN_CASES:
        return f"{np.mean(means):+.3f}, {counted(len(means))}"
    low, high = case_interval(means)
    return f"{np.mean(means):+.3f} [{low:+.3f} {high:+.3f}]"


def case_interval(figures: Sequence[float]) -> tuple[float, float]:
    """Return the 95% interval of the mean of a figure of each case, over resampled cases."""
    values = np.array(figures)
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    return percentile_interval(values[draws].mean(axis=1))


def missing(section: Section) -> Iterator[str]:
    """Yield the missing trainings, and the protocols by which a training was not scored."""
    run = [rows.method for rows in section.trained]
    yield from (f"{method}: all of it" for method in METHODS if method not in run)
    for rows in section.trained:
        by_protocol = {protocol: _gone(section, rows, protocol) for protocol in PROTOCOLS}
        for gone in filter(None, dict.fromkeys(by_protocol.values())):
            names = [name for name, of_it in by_protocol.items() if of_it == gone]
            which = f", {' and '.join(names)}" if len(names) < len(PROTOCOLS) else ""
            yield f"{rows.method}{which}: {gone}"
    without = [case for case in section.cases() if not section.lines.of(case, HONEST)]
    if without:
        yield f"the scores without a model: {', '.join(without)}"


def time_rows(section: Section) -> Iterator[Cells]:
    """Yield the number of cells and patches, the hours and the machine of each method."""

    def about(result: Result) -> tuple[str, str]:
        counts = " / ".join(f"{count:,}" for count in result.counts)
        return counts, f"{result.device}, {counted(result.threads, 'thread')}"

    for rows in section.trained:
        for (counts, device), group in groupby(sorted(rows.results, key=about), about):
            seconds = [result.seconds for result in group]
            mean, hours = f"{np.mean(seconds):.0f}", f"{sum(seconds) / 3600:.2f}"
            yield [rows.method, str(len(seconds)), counts, mean, hours, device]


def commands(section: Section) -> Iterator[str]:
    """Yield the commands of a table; run again, they make its missing cells."""
    place = PLACES[section.number] + (f" {section.cases()[0]}" if section.number == 2 else "")
    methods: dict[tuple[Protocol, ...], list[str]] = {}
    for rows in section.trained:
        for protocols in dict.fromkeys(result.cell.protocols for result in rows.results):
            methods.setdefault(protocols, [NO_METHOD]).append(rows.method)
    for protocols, names in methods.items():
        values = unusual(section.size)
        values["methods"] = " ".join(names)
        if set(protocols) != set(PROTOCOLS):
            values["protocols"] = " ".join(protocols)
        if section.seeds() != list(SEEDS):
            values["seeds"] = " ".join(map(str, section.seeds()))
        options = "".join(f" --{name} {value}" for name, value in values.items())
        number = section.number
        yield f"python -m experiments.paper.table{number} {place} --out work/table{number}{options}"


def unusual(size: Size) -> dict[str, str]:
    """Return the options of a size that differ from the runners' defaults."""
    usual = vars(Size())
    return {
        name.replace("_", "-"): f"{value:g}"
        for name, value in vars(size).items()
        if value != usual[name]
    }


def _aucs(section: Section, rows: Rows, protocol: Protocol, score: str) -> Iterator[str]:
    """Yield mean and spread over the seeds; in Table II also the mean interval over scans."""
    for column in section.columns:
        found = rows.of(column.case, protocol).values()
        figures = [
            [r.figure(protocol, score, column.class_name, end) for r in found]
            for end in ("auc", "low", "high")
        ]
        values, low, high = ([v for v in those if v is not None] for those in figures)
        if not values:
            yield "not defined" if found else "missing"
        else:
            shown = section.number == 2 and low and high
            interval = f" [{np.mean(low):.3f} {np.mean(high):.3f}]" if shown else ""
            yield _spread(values) + interval


def _gone(section: Section, rows: Rows, protocol: Protocol) -> str:
    """Return the cases and seeds that a protocol lacks; "" where none is missing."""
    cases, seeds = section.cases(), section.seeds()
    gone = {case: [s for s in seeds if s not in rows.of(case, protocol)] for case in cases}
    count = sum(map(len, gone.values()))
    if count == len(cases) * len(seeds):
        return "all of it"
    names = ", ".join(
        f"{case} {' '.join(map(str, those))}" for case, those in gone.items() if those
    )
    return f"{count} of {len(cases) * len(seeds)} trainings (by seed: {names})" if count else ""


def _spread(values: Sequence[float], form: str = ".3f") -> str:
    """Return the mean, and the lowest and the highest where there are several values."""
    mean = f"{np.mean(values):{form}}"
    return f"{mean} ({min(values):{form}} {max(values):{form}})" if len(values) > 1 else mean


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def markdown_table(head: Cells, rows: Iterable[Cells]) -> str:
    """Return a Markdown table with a line for each row."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
