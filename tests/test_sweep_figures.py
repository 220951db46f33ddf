"""What the figures of a sweep show, read from what is drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import create_trial

from pipeline.sweeps import figures
from pipeline.sweeps.figures import (
    BLUE,
    COLOURS,
    GREY,
    draw_history,
    draw_importances,
    draw_parallel_coordinates,
    draw_setting,
    draw_timeline,
)
from pipeline.sweeps.results import TrialResult
from tests.sweeps import grid, trial

pytestmark = pytest.mark.slow  # drawing takes most of their time

TRIALS = [trial(0.7, at=30), trial(0.6, at=10), trial(None, state="failed", at=20),
          trial(0.5, state="stopped", at=40)]  # fmt: skip


def test_history_has_each_objective_over_its_trial_and_the_best_so_far(tmp_path: Path) -> None:
    (axes,) = draw_history(tmp_path / "history.png", TRIALS, "labelled_auc").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["t10", "t20", "t30", "t40"]
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [[0, 0.6], [2, 0.7], [3, 0.5]]
    best = axes.lines[0]
    assert np.asarray(best.get_xydata()).tolist() == [[0, 0.6], [2, 0.7], [3, 0.7]]
    assert axes.get_ylabel() == "labelled_auc, of validation scans"
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_a_timeline_has_a_bar_from_start_to_end_in_the_colour_of_how_it_ended(
    tmp_path: Path,
) -> None:
    diverged = replace(trial(None, state="failed"), epochs=0, ended=0.0)  # in its first epoch
    (axes,) = draw_timeline(tmp_path / "timeline.png", [*TRIALS, diverged]).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["t10", "t20", "t30", "t40"]
    bars = {}
    for container in axes.containers:
        assert isinstance(container, BarContainer)
        for bar in container:
            place = round(bar.get_y() + bar.get_height() / 2)
            bars[labels[place]] = (bar.get_x(), bar.get_width(), bar.get_facecolor())
    states = {"t10": "finished", "t20": "failed", "t30": "finished", "t40": "stopped"}
    assert bars == {
        name: (int(name[1:]), 10, to_rgba(COLOURS[state]))  # type: ignore[index]
        for name, state in states.items()
    }


def test_as_many_trials_are_named_as_there_is_room_for(tmp_path: Path) -> None:
    many: list[TrialResult] = [replace(trial(0.5, at=n), trial=f"n{n}") for n in range(130)]
    (axes,) = draw_timeline(tmp_path / "timeline.png", many).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"n{n}" for n in range(0, 130, 3)
    ]


@pytest.mark.parametrize("caution", ["", "6 trials are no evidence"])
def test_importances_are_sorted_and_grey_under_a_caution(tmp_path: Path, caution: str) -> None:
    shares = {"a": 0.25, "b": 0.5, "c": 0.125}
    (axes,) = draw_importances(tmp_path / "i.png", shares, "From 6 trials", caution).axes
    assert axes.get_title() == f"From 6 trials{caution and chr(10)}{caution}"
    (bars,) = axes.containers
    assert isinstance(bars, BarContainer)
    assert [bar.get_width() for bar in bars] == [0.125, 0.25, 0.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "a", "b"]
    assert {bar.get_facecolor() for bar in bars} == {to_rgba(GREY if caution else BLUE)}


@pytest.mark.filterwarnings("ignore")  # Optuna calls its function experimental
def test_the_line_of_the_best_trial_is_the_darkest(tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    distributions: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in "xy"}
    for x, value in ((0.1, 0.5), (0.9, 0.9), (0.4, 0.7)):
        params = {"x": x, "y": 1 - x}
        study.add_trial(create_trial(params=params, distributions=distributions, value=value))
    axes = draw_parallel_coordinates(tmp_path / "p.png", study, "labelled_auc").axes[0]
    (lines,) = (one for one in axes.collections if isinstance(one, LineCollection))
    lines.update_scalarmappable()
    light = np.asarray(lines.get_colors())[:, :3].sum(axis=1)
    heights = [float(np.asarray(line)[0, 1]) for line in lines.get_segments()]
    assert np.argsort(light).tolist() == np.argsort(heights)[::-1].tolist()


def test_the_line_of_a_grid_is_the_mean_over_the_other_settings() -> None:
    result, _ = grid()
    axes = Figure().subplots()
    done = [trial for trial in result.trials if trial.state != "failed"]
    draw_setting(axes, "lambda_con", done)
    means = np.asarray(axes.lines[0].get_ydata(), dtype=float).tolist()
    assert means == pytest.approx([0.5 + 0.5 / 16, 0.5 + 2.5 / 16, 0.5 + 4 / 16])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "40", "400"]


def test_each_panel_of_a_grid_is_of_its_own_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, list[TrialResult]] = {}
    monkeypatch.setattr(
        figures, "draw_setting", lambda _, name, trials: shown.update({name: trials})
    )
    result = grid()[0]
    figures.draw_grid(tmp_path / "g.png", result, "auc")
    done = [trial for trial in result.trials if trial.state != "failed"]
    assert shown == {"lambda_con": done, "latent_dim": done}
