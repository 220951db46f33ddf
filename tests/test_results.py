"""The result tables, from cells with figures that can be worked out by hand."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec

from experiments.paper.cell_results import Result, results_of
from experiments.paper.cell_runner import runner_parser, size_of
from experiments.paper.cells import NO_METHOD, PROTOCOLS, Cell, Size
from experiments.paper.paper_tables import CASES
from experiments.paper.protocols import HONEST, REFERENCE, REFERENCE_SHUFFLED, Protocol
from experiments.paper.result_tables import (
    auc_rows,
    commands,
    leak_rows,
    mean_of_cases,
    missing,
    picture,
    tables_text,
)
from experiments.paper.sections import Section, sections
from pipeline.evaluation.scores import ANOMALY, OVERALL, PCA
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from tests.models.methods import METHODS

SIZE = Size(ngf=32, epochs=2, share=0.5)
FIRST, SECOND = METHODS[:2]
LEAKS = {
    HONEST: 0.0,
    REFERENCE: 0.125,
    REFERENCE_SHUFFLED: 0.0625,
}  # halves, so that sums are exact
WITHOUT_MODEL = (PCA, *TRIVIAL_SCORES)


def result(cell: Cell, figures: Mapping[Protocol, Mapping[str, float]]) -> Result:
    """A cell with an AUC for each protocol and score."""
    estimates = {
        protocol: {
            OVERALL: {
                score: dict.fromkeys(("auc", "low", "high"), value)
                for score, value in scores.items()
            }
        }
        for protocol, scores in figures.items()
    }
    return Result(cell, (76, 14, 30), 3600.0, "cpu", 1, estimates)


def trained(case: str, seed: int, honest: float, size: Size = SIZE) -> Result:
    figures = {name: {ANOMALY: honest + leak} for name, leak in LEAKS.items()}
    return result(Cell(case, FIRST, seed, size), figures)


def lines(case: str) -> Result:
    figures = {HONEST: dict.fromkeys(WITHOUT_MODEL, 0.75)}
    return result(Cell(case, NO_METHOD, 0, SIZE, (HONEST,)), figures)


def table_1() -> list[Result]:
    """All of one method, case n at n/16 with seeds 1/64 apart; and the lines."""
    return [trained(case, seed, n / 16 + seed / 64) for n, case in enumerate(CASES)
            for seed in (0, 1, 2)] + [lines(case) for case in CASES]  # fmt: skip


def section(results: list[Result]) -> Section:
    (found,) = sections(results)
    return found


def test_a_cell_is_the_mean_and_the_spread_of_the_seeds_beside_the_paper() -> None:
    rows = {(name, scored): cells for name, scored, *cells in auc_rows(section(table_1()))}
    assert rows[FIRST, "the paper"][1] == "0.953"
    expected = "0.078 (0.062 0.094)"  # 4/64, 5/64, 6/64: the second case
    assert rows["", HONEST][1] == expected
    assert rows["", f"{REFERENCE} *"][0] == "0.141 (0.125 0.156)"
    assert rows[PCA, "no model"] == ["0.750"] * len(CASES)


def test_what_leaks_is_the_difference_of_the_same_trainings() -> None:
    rows = {difference: cells for _, difference, *cells in leak_rows(section(table_1()))}
    assert rows[f"{REFERENCE} minus {HONEST}"][:2] == ["+0.125 (+0.125 +0.125)"] * 2
    assert rows[f"{REFERENCE} minus {REFERENCE_SHUFFLED}"][-1] == "+0.062 [+0.062 +0.062]"


def test_the_mean_of_the_cases_counts_each_case_once_whatever_its_seeds() -> None:
    assert mean_of_cases([[0.5, 0.25], [0.125]]) == "+0.250, 2 cases"
    five = mean_of_cases([[0.5, 0.25], *[[0.125]] * 4])
    assert five == "+0.175 [+0.125 +0.275]"  # a case more often than twice of five: rare


def test_nothing_is_missing_but_the_methods_without_a_cell() -> None:
    found = list(missing(section(table_1())))
    assert found == [f"{method}: all of it" for method in METHODS[1:]]


def test_what_is_missing_is_named() -> None:
    results = table_1()[1:-1]
    results.append(result(Cell("bird", SECOND, 0, SIZE, (HONEST,)), {}))
    found = list(missing(section(results)))[len(METHODS) - 2 :]  # two methods have cells
    assert found[0] == f"{FIRST}: 1 of 30 trainings (by seed: bird 0)"
    assert found[1].startswith(
        f"{SECOND}, {HONEST}: 29 of 30 trainings (by seed: bird 1 2, car 0 1 2"
    )
    assert found[2] == f"{SECOND}, {REFERENCE} and {REFERENCE_SHUFFLED}: all of it"
    assert found[-1] == "the scores without a model: truck"
    rows = [cells for _, scored, *cells in auc_rows(section(results)) if scored == HONEST]
    assert rows[1][:2] == ["not defined", "missing"]


def test_each_size_has_a_table_the_largest_training_first() -> None:
    larger, share = replace(SIZE, ngf=64), replace(SIZE, test_share=0.5)
    found = sections([*table_1(), trained("car", 0, 0.5, larger), trained("car", 0, 0.5, share)])
    assert [table.title for table in found] == ["cifar10, ngf 64, 2 epochs",
                                                *["cifar10, ngf 32, 2 epochs"] * 2]  # fmt: skip
    assert [table.settings.partition("test_share ")[2] for table in found] == ["1", "0.5", "1"]
    assert [bool(table.lines.results) for table in found] == [True, False, True]


def test_the_steps_of_a_search_are_told_where_there_is_one() -> None:
    (found,) = sections([result(Cell("car", "anogan", 0, SIZE), {})])
    assert found.title == "cifar10, ngf 32, 2 epochs, search of 500 steps"


def test_a_picture_is_named_by_what_of_its_size_is_unusual() -> None:
    usual, small = (section([trained("car", 0, 0.5, size)]) for size in (Size(), SIZE))
    assert picture(usual) == "table1.png"
    assert picture(small) == "table1-ngf-32-epochs-2-share-0.5.png"


def test_tables_and_pictures_of_other_images_are_their_own() -> None:
    copies = trained("car", 0, 0.5, Size())
    others = replace(copies, cell=replace(copies.cell, data="cifar10-0"))
    tables = sections([copies, others])
    assert [table.number for table in tables] == [1, 1]
    assert {picture(table) for table in tables} == {"table1.png", "table1-cifar10-0.png"}


def test_the_commands_ask_for_what_was_run() -> None:
    small = replace(SIZE, search_steps=5, learning_rate=0.125)
    results = [*table_1(), trained("car", 7, 0.5, small)]
    found = [line for table in sections(results) for line in commands(table)]
    parser = runner_parser("")
    given = [parser.parse_known_args(shlex.split(line))[0] for line in found]
    assert {size_of(each) for each in given} == {SIZE, small}
    assert [each.methods for each in given] == [[NO_METHOD, FIRST]] * 2
    assert {tuple(each.seeds) for each in given} == {(0, 1, 2), (0, 1, 2, 7)}
    assert all(find_spec(line.split()[2]) for line in found)


def test_a_table_without_a_cell_says_so() -> None:
    text = tables_text(sections(table_1()))
    assert text.count("### Table I:") == 1
    assert "No training of it has been run" in text.partition("### Table II")[2]
    assert "No training of it has been run" not in text.partition("### Table II")[0]


def row(case: str, method: str, seed: int, value: float | None) -> dict[str, object]:
    """A line of `cells.jsonl`, of a set with one class."""
    low = None if value is None else value / 2
    estimate = {"auc": value, "low": low, "high": value, "normal": 20, "abnormal": 10}
    scores = dict.fromkeys(WITHOUT_MODEL if method == NO_METHOD else (ANOMALY,), estimate)
    protocols = (HONEST,) if method == NO_METHOD else PROTOCOLS
    found = {"epoch": 1, "auc": scores, "classes": {"gun": scores}}
    described = {"case": case, "method": method, "seed": seed, "size": vars(SIZE), "data": "abc"}
    return {
        **described,
        "protocols": protocols,
        "key": f"{case} {method} {seed}",
        "counts": [76, 14, 30],
        "found": dict.fromkeys(protocols, found),
        "seconds": 1.5,
        "device": "cpu",
        "threads": 1,
    }


def test_a_line_of_the_file_is_a_cell_and_the_last_of_equal_ones_counts() -> None:
    rows = [
        row("small", FIRST, 0, 0.25),
        row("small", FIRST, 0, 0.75),
        row("empty", FIRST, 0, None),
        row("small", NO_METHOD, 0, 0.5),
    ]
    found = {r.cell.method + r.cell.case: r for r in results_of(rows)}
    assert len(found) == len(results_of(rows)) == 3
    first = found[FIRST + "small"]
    assert first.cell == Cell("small", FIRST, 0, SIZE, PROTOCOLS, "abc")
    assert (first.counts, first.seconds, first.classes()) == ((76, 14, 30), 1.5, {"gun", OVERALL})
    assert first.figure(REFERENCE, ANOMALY, "gun") == 0.75
    assert found[FIRST + "empty"].figure(HONEST, ANOMALY, "gun") is None
    assert found[NO_METHOD + "small"].figure(HONEST, PCA, OVERALL, "low") == 0.25
    assert results_of([rows[3], rows[2], *rows[:2]]) == results_of(rows)
