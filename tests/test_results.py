"""The result tables, from cells with figures that can be worked out by hand."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.paper.cell_runner import arguments, size_of
from experiments.paper.cell_runs import CELL, CELL_TAG, Result, find_results, log_cells, metric_name
from experiments.paper.cells import NO_METHOD, PROTOCOLS, Cell, Size
from experiments.paper.paper_tables import CASES
from experiments.paper.protocols import HONEST, IN_ORDER, SHUFFLED
from experiments.paper.result_tables import (
    auc_rows,
    commands,
    leak_rows,
    mean_of_cases,
    missing,
    picture,
)
from experiments.paper.results import BEGIN, END, page, write_results
from experiments.paper.sections import Section, sections
from pipeline.common.errors import InputError
from pipeline.evaluation.evaluate import ANOMALY, OVERALL, PCA
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.tracking.tracked_run import open_run
from pipeline.tracking.tracker import KIND_TAG, Tracker
from tests.models.methods import METHODS

SIZE = Size(ngf=32, epochs=2, share=0.5)
FIRST, SECOND = METHODS[:2]
LEAKS = {HONEST: 0.0, IN_ORDER: 0.125, SHUFFLED: 0.0625}  # halves, so that sums are exact
WITHOUT_MODEL = (PCA, *TRIVIAL_SCORES)


def result(cell: Cell, metrics: Mapping[str, float]) -> Result:
    return Result(cell, (76, 14, 30), 3600.0, "cpu", 1, metrics)


def trained(case: str, seed: int, honest: float, size: Size = SIZE) -> Result:
    metrics = {metric_name(name, ANOMALY, OVERALL): honest + leak for name, leak in LEAKS.items()}
    return result(Cell(case, FIRST, seed, size), metrics)


def lines(case: str) -> Result:
    metrics = {metric_name(HONEST, score, OVERALL): 0.75 for score in WITHOUT_MODEL}
    return result(Cell(case, NO_METHOD, 0, SIZE, (HONEST,)), metrics)


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
    assert rows["", f"{IN_ORDER} *"][0] == "0.141 (0.125 0.156)"
    assert rows[PCA, "no model"] == ["0.750"] * len(CASES)


def test_what_leaks_is_the_difference_of_the_same_trainings() -> None:
    rows = {difference: cells for _, difference, *cells in leak_rows(section(table_1()))}
    assert rows[f"{IN_ORDER} minus {HONEST}"][:2] == ["+0.125 (+0.125 +0.125)"] * 2
    assert rows[f"{IN_ORDER} minus {SHUFFLED}"][-1] == "+0.062 [+0.062 +0.062]"


def test_the_mean_of_the_cases_counts_each_case_once_whatever_its_seeds() -> None:
    assert mean_of_cases([[0.5, 0.25], [0.125]]).startswith("+0.250 [+0.125 +0.375]")


def test_nothing_is_missing_of_a_whole_method() -> None:
    assert not list(missing(section(table_1())))


def test_what_is_missing_is_named() -> None:
    results = table_1()[1:-1]
    results.append(result(Cell("bird", SECOND, 0, SIZE, (HONEST,)), {}))
    found = list(missing(section(results)))
    assert found[0] == f"{FIRST}: 1 of 30 trainings (by seed: bird 0)"
    assert found[1].startswith(
        f"{SECOND}, {HONEST}: 29 of 30 trainings (by seed: bird 1 2, car 0 1 2"
    )
    assert found[2] == f"{SECOND}, {IN_ORDER} and {SHUFFLED}: all of it"
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


def test_the_commands_ask_for_what_was_run() -> None:
    small = replace(SIZE, search_steps=5, learning_rate=0.125)
    results = [*table_1(), trained("car", 7, 0.5, small)]
    found = [line for table in sections(results) for line in commands(table)]
    parser = arguments("")
    given = [parser.parse_known_args(shlex.split(line))[0] for line in found]
    assert {size_of(each) for each in given} == {SIZE, small}
    assert [each.methods for each in given] == [[NO_METHOD, FIRST]] * 2
    assert {tuple(each.seeds) for each in given} == {(0, 1, 2), (0, 1, 2, 7)}


def test_what_is_written_by_hand_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "results.md").write_text(f"# By hand\n\n{BEGIN}\nbefore this\n{END}\nafter\n")
    write_results(table_1(), tmp_path)
    first = (tmp_path / "results.md").read_text()
    assert first.startswith(f"# By hand\n\n{BEGIN}\n")
    assert first.endswith(f"{END}\nafter\n")
    assert "before this" not in first
    assert "No training of it has been run" in first.partition("### Table II")[2]
    write_results(table_1(), tmp_path)
    assert (tmp_path / "results.md").read_text() == first
    (drawn,) = tmp_path.glob("table1-*.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert f"]({drawn.name})" in first
    with pytest.raises(InputError, match=r"results.md: no lines"):
        page([], "# By hand\n")


def test_a_table_without_a_cell_stays_and_one_with_cells_is_written_anew() -> None:
    larger = replace(SIZE, ngf=64)
    of_both = sections([*table_1(), trained("car", 0, 0.5, larger)])
    both = page(of_both, f"{BEGIN}\n{END}\n")
    assert page(of_both[1:], both) == both
    (changed,) = sections([trained("car", 0, 0.75, larger)])
    text = page([changed], both)
    assert "| 0.750 |" in text
    assert text.count("### Table I:") == 2
    assert text.partition("ngf 32")[2] == both.partition("ngf 32")[2]


def row(case: str, method: str, seed: int, value: float | None) -> dict[str, object]:
    """A line of `cells.jsonl`, of a set with one class."""
    estimate = {"auc": value, "low": value, "high": value, "normal": 20, "abnormal": 10}
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


@pytest.mark.slow  # making the store takes seconds
def test_every_cell_is_a_run_once_and_comes_back_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    tracker = Tracker.open()
    rows = [row("small", FIRST, 0, 0.75), row("small", NO_METHOD, 0, 0.5),
            row("empty", FIRST, 0, None)]  # fmt: skip
    unfinished = open_run(
        tracker, {CELL_TAG: "small none 0"}, "a kill left it", {KIND_TAG: CELL}, {}
    )
    assert log_cells(tracker, [*rows, rows[0]]) == 3
    assert log_cells(tracker, rows) == 0
    found = {r.cell.method + r.cell.case: r for r in find_results(tracker)}
    first = found[FIRST + "small"]
    assert first.cell == Cell("small", FIRST, 0, SIZE, PROTOCOLS, "abc")
    assert (first.counts, first.seconds, first.classes()) == ((76, 14, 30), 1.5, {"gun", OVERALL})
    assert first.figure(IN_ORDER, ANOMALY, "gun") == 0.75
    assert found[FIRST + "empty"].figure(HONEST, ANOMALY, "gun") is None
    assert found[NO_METHOD + "small"].figure(HONEST, PCA, OVERALL, "low") == 0.5
    (run,) = tracker.find({CELL_TAG: "small none 0"})
    assert run.info.run_id == unfinished.id
    (run,) = tracker.find({CELL_TAG: f"small {FIRST} 0"})
    leaking = {name for name in run.data.metrics if name.startswith("labels_leak/")}
    assert leaking >= {f"labels_leak/{name}/gun" for name in (IN_ORDER, SHUFFLED)}
    assert run.data.params["labels_leak"] == f"{IN_ORDER} {SHUFFLED}"
    assert not [name for name in run.data.metrics if "2019" in name and name not in leaking]
