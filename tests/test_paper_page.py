"""The page of the trainings at the authors' settings, from figures that are worked out by hand."""

import filecmp
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.container import BarContainer, ErrorbarContainer

from experiments.paper.author_criteria import criteria_table
from experiments.paper.author_figures import BARS, LINES, draw_shares, draw_table_1
from experiments.paper.author_runs import PAPER, Run, runs_of
from experiments.paper.author_tables import answer, factor_table, share_table, step_table, time_line
from experiments.paper.cell_folders import REPOSITORY, read_folders
from experiments.paper.cell_results import Result
from experiments.paper.cells import NO_METHOD, Cell, Size
from experiments.paper.page import BEGIN, END, FOLDER, page_texts, with_parts, write_pages
from experiments.paper.paper_tables import CASES
from experiments.paper.protocols import HONEST
from pipeline.common.errors import InputError
from pipeline.evaluation.scores import OVERALL
from tests.imports import ROOT

Rows = list[dict[str, Any]]
STEPS = ((0, 0), (0, 60), (0, 300), (1, 703), (2, 1406), (3, 2109))
IN_ORDER = (0.5, 0.9, 0.99, 0.95, 0.7, 0.85)  # by step: the best epoch is the first
SHUFFLED = (0.5, 0.5, 0.5, 0.6, 0.5, 0.55)
EVAL = (0.5, 0.55, 0.5, 0.4, 0.45, 0.5)  # the best epoch is the last
SHARES = {"1": 0.85, "0.95": 0.8, "0.9": 0.75, "0.75": 0.65, "0.5": 0.5}


def lines_of(
    case: str,
    seed: int = 0,
    in_order: Sequence[float] = IN_ORDER,
    shuffled: Sequence[float] = SHUFFLED,
    honest: Sequence[float] = EVAL,
    shares: Mapping[str, float] = SHARES,
) -> Rows:
    """The lines of `authors.jsonl` of a training, as many as `in_order` has."""
    rows: Rows = []
    for (epoch, step), *values in zip(STEPS, in_order, shuffled, honest, strict=False):
        names = ("in_order", "shuffled", "eval")
        auc = {n: {"anomaly_score": v, "residual": 0.1} for n, v in zip(names, values, strict=True)}
        row = {"case": case, "seed": seed, "ngf": 64, "epoch": epoch, "step": step, "auc": auc}
        rows.append({**row, "seconds": 1800} if epoch else row)
    if len(rows) == len(STEPS):
        rows[-1]["mixed"] = {share: {"anomaly_score": value} for share, value in shares.items()}
    return rows


def runs(*of_each: Rows) -> list[Run]:
    return runs_of(row for rows in of_each for row in rows)


def cells_of(table: str) -> dict[str, list[str]]:
    """The rows of a Markdown table, by their first cell, with a hyphen for each minus sign."""
    lines = table.replace("\N{MINUS SIGN}", "-").splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in rows}


def no_model(case: str, best: float, high: float, images: int = 1500) -> Result:
    """A cell with two scores without a model, of which `pca` is the better one."""
    scores = {
        "pca": {"auc": best, "low": best - 0.03, "high": high},
        "darkness": {"auc": best - 0.2, "low": best - 0.3, "high": best - 0.1},
    }
    cell = Cell(case, NO_METHOD, 0, Size(test_share=images / 15000), (HONEST,))
    return Result(cell, (10, 5, images), 1.0, "cpu", 1, {HONEST: {OVERALL: scores}})


def test_the_factors_add_up_to_the_paper_s_figure() -> None:
    (run,) = runs(lines_of("plane"))
    # 0.55 - 0.5, 0.85 - 0.55, 0.95 - 0.85, and the paper's 0.797 - 0.95
    assert list(run.factors().values()) == pytest.approx([0.5, 0.05, 0.3, 0.1, -0.153])
    assert sum(run.factors().values()) == pytest.approx(PAPER["plane"])
    rows = list(cells_of(factor_table([run])).values())
    assert rows[0] == ["mean of 1 case", "plane"]
    assert [row[1] for row in rows[2:]] == [".500", "+.050", "+.300", "+.100", "-.153", ".797"]
    # of epoch 1 minus epoch 3: 0.95 - 0.85, 0.6 - 0.55, 0.4 - 0.5
    gains = "+.100 in class order (the row above), +.050 shuffled, \N{MINUS SIGN}.100 in evaluation"
    assert f"The picked epoch minus the last, mean of 1 case: {gains}" in factor_table([run])


def test_the_epoch_is_picked_in_class_order_among_epochs() -> None:
    (run,) = runs(lines_of("plane"))
    assert (run.best, run.as_2019, run.honest) == ("epoch 1", 0.95, 0.5)
    found = [line.split("|") for line in step_table([run]).splitlines()[2:]]
    assert [cell.strip() for cell in found[0][3:-1]] == [
        ".500", ".900", ".990", "**.950**", ".700", ".850"]  # fmt: skip
    assert "**" not in "".join(found[1] + found[2])


@pytest.mark.slow
def test_a_case_without_cells_is_not_run_and_one_with_some_unfinished(tmp_path: Path) -> None:
    some = runs(lines_of("plane"), lines_of("car", in_order=IN_ORDER[:4]))
    said = answer(some)
    assert "1 of 10 (seed 0: plane; unfinished: car (seed 0); not run: bird, cat" in said
    assert "1 case as that code scores" in said
    assert ".950**; the mean of the paper's figures of the same cases is .797" in said
    assert "Mean AUC of 1 case after 60 training steps: .900 as that code scores, .550 in" in said
    assert "car" not in factor_table(some) + share_table(some)
    assert cells_of(step_table(some))["car, seed 0"][1:] == [".500", ".900", ".990", ".950", "", ""]
    (axes,) = draw_table_1(tmp_path / BARS, some).axes
    marks = {round(text.get_position()[0]): text.get_text() for text in axes.texts}
    assert marks == {
        place: "unfinished" if case == "car" else "not run"
        for place, case in enumerate(CASES)
        if case != "plane"
    }


def test_an_unfinished_seed_of_a_finished_case_is_named() -> None:
    some = runs(lines_of("plane"), lines_of("plane", 1, in_order=IN_ORDER[:4]))
    assert "1 of 10 (seed 0: plane; unfinished: plane (seed 1); not" in answer(some)


def test_cases_with_the_same_seeds_are_named_together() -> None:
    some = runs(*(lines_of(case) for case in CASES), lines_of("plane", 1))
    named = "bird, car, cat, deer, dog, frog, horse, ship, truck"
    assert f"10 of 10 (seed 0: {named}; seeds 0, 1: plane)." in answer(some)


@pytest.mark.slow
def test_nothing_finished_is_a_page_all_the_same(tmp_path: Path) -> None:
    assert answer([]).count("\n") == 1
    for table in (factor_table([]), share_table([]), criteria_table([], [])):
        assert table == "No case is finished.\n"
    draw_table_1(tmp_path / BARS, [])
    draw_shares(tmp_path / LINES, [])


@pytest.mark.slow
def test_seeds_are_averaged_with_the_lowest_and_the_highest_as_ends(tmp_path: Path) -> None:
    other = [value + 0.04 for value in EVAL]
    both = runs(lines_of("plane"), lines_of("plane", 1, honest=other), lines_of("ship"))
    honest = list(cells_of(factor_table(both)).values())[2]
    # the plane's (0.5 + 0.54) / 2; the mean counts each case once: (0.52 + 0.5) / 2
    assert honest == [".510", ".520", ".500"]
    (axes,) = draw_table_1(tmp_path / BARS, both).axes
    bars = [each for each in axes.containers if isinstance(each, BarContainer)][-1]
    assert [bar.get_height() for bar in bars] == pytest.approx([0.52, 0.5])
    assert isinstance(bars.errorbar, ErrorbarContainer)
    (ends,) = bars.errorbar[2]
    spans = [(low[1], high[1]) for low, high in ends.get_segments()]
    assert spans[0] == pytest.approx((0.5, 0.54))
    assert spans[1] == pytest.approx((0.5, 0.5))


def test_a_mean_has_an_interval_from_five_cases_on() -> None:
    four = runs(*(lines_of(case) for case in CASES[:4]))
    five = runs(*(lines_of(case) for case in CASES[:5]))
    assert next(iter(cells_of(factor_table(four)).values()))[0] == "mean of 4 cases"
    assert "[." not in factor_table(four)
    rows = list(cells_of(factor_table(five)).values())
    assert rows[0][0] == "mean of 5 cases [95%]"
    assert rows[2][0] == ".500 [.500 .500]"
    low, high = (float(end) for end in rows[-1][0].partition("[")[2].rstrip("]").split())
    assert 0.448 < low < 0.645 < high < 0.953  # the paper's lowest, mean and highest of the five


def test_criteria_are_counted_by_their_own_words() -> None:
    near = [PAPER["ship"] + 0.04] * len(STEPS)  # nothing changes by step: all epochs alike
    some = runs(
        lines_of("plane"),
        lines_of("ship", in_order=near, shuffled=[v - 0.09 for v in near],
                 shares={**SHARES, "0.5": 0.65}),
        lines_of("bird", honest=[0.5, 0.6, 0.5, 0.5, 0.5, 0.9]),
        lines_of("car", in_order=(0.5, 0.81), honest=(0.5, 0.59)),
    )  # fmt: skip
    results = [no_model("plane", 0.48, 0.51), no_model("bird", 0.9, 0.95, 100),
               no_model("bird", 0.8, 0.89), no_model("car", 0.1, 0.2)]  # fmt: skip
    rows = list(cells_of(criteria_table(some, results)).values())[2:]
    assert [row[0] for row in rows] == [
        "1 of 3 cases",  # the ship; the others are above by more
        "2 of 3 cases",  # not the ship: lower by .09
        "2 of 3 cases",  # not the ship: .65 twice
        "2 of 4 cases",  # the plane and the car; the ship is not above .8, the bird's .6 not below
        "1 of 2 cases",  # the bird, by its larger test; the plane's .5 is within the interval
    ]
    assert rows[0][1].startswith("bird .950, the paper .448; plane .950, the paper .797; ship .699")
    assert rows[1][1] == "bird -.350; plane -.350; ship -.090"
    assert rows[4][1].startswith("bird .900, `pca` .800 [.770 .890] of 1,500 images; plane .500")
    # (0.95 + 0.95 + 0.699) / 3, and (0.448 + 0.797 + 0.659) / 3
    assert "3 cases as the 2019 code scores: .866; the paper's: .635." in criteria_table(some, [])


@pytest.mark.slow
def test_shares_are_a_line_for_each_training(tmp_path: Path) -> None:
    some = runs(lines_of("plane"), lines_of("plane", 1), lines_of("ship"))
    assert cells_of(share_table(some))["plane, seed 1"] == [".850", ".800", ".750", ".650", ".500"]
    figure = draw_shares(tmp_path / LINES, some)
    drawn = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    assert [np.asarray(line.get_ydata()).tolist() for line in drawn] == [[*SHARES.values()]] * 3
    colours = [line.get_color() for line in drawn]
    assert colours[0] == colours[1] != colours[2]
    assert drawn[0].get_marker() != drawn[1].get_marker()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["plane, seed 0", "plane, seed 1", "ship, seed 0", "chance, .5"]


def test_time_is_that_of_the_epochs() -> None:
    rows = [*lines_of("plane"), *lines_of("car", in_order=IN_ORDER[:4])]
    rows[3]["seconds"], rows[4]["seconds"] = 600, 9600
    expected = (
        "4 epochs of 2 trainings: 1,800 seconds in the median (600 to 9,600), 3.8 hours in sum."
    )
    assert time_line(runs(rows)) == f"{expected}\n"


def test_a_narrow_training_is_left_out_and_the_last_of_equal_lines_counts() -> None:
    narrow = [{**row, "ngf": 4} for row in lines_of("ship")]
    again = lines_of("plane", honest=[0.25] * len(STEPS))
    (run,) = runs(narrow, lines_of("plane"), again)
    assert (run.case, run.honest) == ("plane", 0.25)


def test_a_training_on_other_images_is_left_out() -> None:
    others = [{**row, "data": "cifar10-0"} for row in lines_of("plane", honest=[0.25] * 6)]
    copies = [{**row, "data": "cifar10"} for row in lines_of("ship")]
    found = runs(lines_of("plane"), others, copies)
    assert [(run.case, run.honest) for run in found] == [("plane", 0.5), ("ship", 0.5)]


def test_parts_go_between_the_markers_and_the_rest_stays() -> None:
    text = f"# By hand\n\n{BEGIN}\nbefore\n{END}\nbetween\n{BEGIN}\n{END}\nafter\n"
    found = with_parts(text, ["first\n", "second\n"], "README.md")
    assert found == (
        f"# By hand\n\n{BEGIN}\n\nfirst\n\n{END}\nbetween\n{BEGIN}\n\nsecond\n\n{END}\nafter\n"
    )
    assert with_parts(found, ["first\n", "second\n"], "README.md") == found
    with pytest.raises(InputError, match=r"README.md: 2 pairs of lines .* expected 1"):
        with_parts(text, ["first\n"], "README.md")


def test_cells_of_further_folders_are_merged_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = [{**row, "data": "cifar10-0"} for row in lines_of("car")]
    (tmp_path / "authors.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*lines_of("ship", 7), *hidden])
    )
    kept, both = read_folders([REPOSITORY]), read_folders([REPOSITORY, tmp_path])
    assert (both.cells, both.authors[: len(kept.authors)]) == (kept.cells, kept.authors)
    assert {(run.case, run.seed) for run in runs_of(both.authors)} == {
        *((run.case, run.seed) for run in runs_of(kept.authors)),
        ("ship", 7),
    }
    printed = capsys.readouterr().out
    assert printed == "authors.jsonl: 6 lines of another width or other images: left out\n"
    with pytest.raises(InputError, match=r"no cells.jsonl or authors.jsonl"):
        read_folders([tmp_path / "none"])


def copy_of_pages(folder: Path) -> Path:
    folder.mkdir()
    for name in ("README.md", "results.md"):
        shutil.copy(FOLDER / name, folder)
    return folder


def same_files(first: Path, second: Path) -> bool:
    names = sorted(path.name for path in first.iterdir())
    same, _, _ = filecmp.cmpfiles(first, second, names, shallow=False)
    return same == names == sorted(path.name for path in second.iterdir())


@pytest.mark.slow
def test_the_same_cells_give_the_same_bytes_in_any_folder(tmp_path: Path) -> None:
    first, second = (copy_of_pages(tmp_path / name) for name in ("first", "second"))
    lines = read_folders([REPOSITORY])
    write_pages(lines, first)
    write_pages(lines, second)
    assert same_files(first, second)
    pictures = {path.name for path in first.glob("*.png")}
    assert pictures > {BARS, LINES}
    kept = {path.name for path in FOLDER.glob("*.png")}
    assert kept == pictures | {"figure8.png", "figure9.png"}  # those two are of sweeps
    for name in pictures:
        content = (first / name).read_bytes()
        assert content == (FOLDER / name).read_bytes(), f"{name}: run make results"
        assert not any(word in content for word in (b"Software", b"tIME", b"Date"))


@pytest.mark.slow  # importing PyTorch in a process of its own takes seconds
def test_the_page_is_written_without_mlflow(tmp_path: Path) -> None:
    first, second = (copy_of_pages(tmp_path / name) for name in ("first", "second"))
    code = f"""
import sys
from pathlib import Path
sys.modules["mlflow"] = None  # importing it is an ImportError
from experiments.paper import page
page.write_pages(page.read_folders([page.REPOSITORY]), Path({str(second)!r}))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    write_pages(read_folders([REPOSITORY]), first)
    assert same_files(first, second)


def test_the_pages_are_those_of_the_repository_s_cells() -> None:
    for name, text in page_texts(read_folders([REPOSITORY]), FOLDER).items():
        assert text == (FOLDER / name).read_text(encoding="utf-8"), f"{name}: run make results"
