import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from pipeline.common.errors import InputError
from pipeline.settings.search_space import Choices, Space
from pipeline.sweeps import summary
from pipeline.sweeps.log_trials import BEST_OBJECTIVE, log_trial, log_trials
from pipeline.sweeps.results import (
    Best,
    SweepResult,
    rank,
    read_best,
    read_trials,
    require_enough,
    write_sweep,
)
from pipeline.sweeps.summary import (
    as_study,
    caution_of,
    importances,
    is_grid,
    sweep_text,
    write_summary,
)
from pipeline.tracking.tracked_run import StoredRun
from tests.sweeps import NotingRun, grid, trial

DEFAULT_SPACE: Space = {
    "lambda_adv": (0.1, 10),
    "lambda_con": (4, 400),
    "lambda_lat": (0.1, 10),
    "latent_dim": Choices((5, 10)),
}


def ruled_by_lambda_con() -> SweepResult:
    generator = np.random.default_rng(0)
    weights = 10 ** generator.uniform(0.7, 2.5, size=20)
    trials = [trial(0.5 + 0.1 * np.log10(w), w, at=10 * i) for i, w in enumerate(weights)]
    return rank([*trials, trial(None, state="failed", at=200)])


def test_the_best_objective_comes_first_and_failed_trials_last() -> None:
    ranked = rank([trial(0.9, 7, "failed"), trial(0.6, 8), trial(None, 9), trial(0.7, 10)])
    assert [found.settings["lambda_con"] for found in ranked.trials[:2]] == [10, 8]
    assert (ranked.best["lambda_con"], ranked.value) == (10, 0.7)


def test_a_sweep_of_failures_names_the_reason() -> None:
    with pytest.raises(InputError, match="every trial failed: loss_g is nan"):
        rank([trial(0.9, state="failed")])
    with pytest.raises(InputError, match="every trial failed: narrow"):
        rank([])


def test_a_sweep_may_lose_a_stated_share_of_its_trials() -> None:
    ranked = rank([trial(0.7), trial(0.8), trial(None, state="failed")])
    require_enough(ranked, 0.4)
    require_enough(SweepResult(ranked.trials[1:]), 0.5)
    require_enough(SweepResult([*[ranked.trials[0]] * 21, *[ranked.trials[-1]] * 29]), 0.58)
    with pytest.raises(InputError, match=r"1 of 3 trials failed, more than .*\(0.3\).*nan"):
        require_enough(ranked, 0.3)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    curve = [{"epoch": 1.0, "loss_g": 2.5}, {"epoch": 2.0, "loss_g": 1.5}]
    ranked = rank([replace(trial(0.7, 0.5), curve=curve), trial(None, state="failed", at=5)])
    write_sweep(tmp_path, ranked, "auc", "run")
    assert read_trials(tmp_path) == [
        ranked.trials[0],
        replace(ranked.trials[1], curve=[]),
    ]


def test_every_trial_has_a_row(tmp_path: Path) -> None:
    trained = replace(trial(0.7), curve=[{"epoch": 1, "loss_g": 2.5}])
    write_sweep(tmp_path, rank([trained, trial(0.6, state="failed")]), "auc", "run")
    header, best, failed = (tmp_path / "trials.csv").read_text().splitlines()
    assert header.startswith("trial,lambda_adv,lambda_con,lambda_lat,latent_dim,objective,state")
    assert best == "t0,1,40,1,10,0.7,finished,2,6.0,0,10,"
    assert failed.endswith("loss_g is nan in epoch 1")
    assert (tmp_path / "curves.csv").read_text() == "trial,epoch,loss_g\nt0,1,2.5\n"
    assert json.loads((tmp_path / "best.json").read_text())["trials"] == 2


def test_equal_objectives_are_in_order_of_their_settings() -> None:
    ranked = rank([trial(0.6, 1), trial(0.7, 9), trial(0.7, 8), trial(0.7, 10)])
    assert [found.settings["lambda_con"] for found in ranked.trials] == [8, 9, 10, 1]


def test_the_best_settings_are_read_back(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"best\.json: no such file: run `dvc repro tune`$"):
        read_best(tmp_path)
    best = dict(trial(0.7, 50).settings)
    expected = Best(best, objective="auc", value=0.7, trials=2, run_id="run")
    write_sweep(tmp_path, rank([trial(0.6), trial(0.7, 50)]), "auc", "run")
    assert read_best(tmp_path) == expected


def test_a_sweep_that_was_not_logged_has_no_run(tmp_path: Path) -> None:
    write_sweep(tmp_path, rank([trial(0.7)]), "auc", None)
    assert read_best(tmp_path).run_id is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"trials": 1', '"trials": 1.5', "trials: Input should be a valid integer, got 1.5"),
        ('"value": 0.7', '"value": NaN', "value: Input should be a finite number, got nan"),
        ('"value": 0.7', '"value": "0.7"', "value: Input should be a valid number, got '0.7'"),
        ('"objective": "auc"', '"objective": null', "objective: Input should be a valid string"),
        ('"objective"', '"objektive"', "objective: Field required"),
        ('"trials"', '"more": 1, "trials"', "more: Unexpected keyword argument, got 1"),
        ("{", "[", "Invalid JSON: "),
        ("\n}", "", "Invalid JSON: "),
    ],
)
def test_what_is_wrong_in_the_best_settings_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    write_sweep(tmp_path, rank([trial(0.7)]), "auc", "run")
    path = tmp_path / "best.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_best(tmp_path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert str(error.value).endswith(": run `dvc repro -sf tune`")
    assert "\n" not in str(error.value)


def test_that_there_was_no_sweep_is_written_too(tmp_path: Path) -> None:
    write_sweep(tmp_path, None, "auc", None)
    assert read_best(tmp_path) == Best(None, "auc", value=None, trials=0, run_id=None)
    assert read_trials(tmp_path) == []
    header = "trial,objective,state,epochs,training_seconds,started,ended,reason\n"
    assert (tmp_path / "trials.csv").read_text() == header
    assert (tmp_path / "curves.csv").read_text() == "trial\n"


def test_the_study_of_a_sweep_has_its_best_trial() -> None:
    result = ruled_by_lambda_con()
    study = as_study(result, DEFAULT_SPACE)
    assert (study.best_value, study.best_params) == (result.value, result.best)
    in_time = sorted(result.trials, key=lambda trial: trial.started)
    assert [trial.value for trial in study.trials] == [trial.objective for trial in in_time]


def test_a_range_is_logarithmic_in_the_study_as_in_the_search() -> None:
    found = as_study(ruled_by_lambda_con(), DEFAULT_SPACE).trials[0].distributions["lambda_con"]
    assert found == FloatDistribution(4, 400, log=True)


def test_the_setting_that_decides_is_the_important_one() -> None:
    shares = importances(as_study(ruled_by_lambda_con(), DEFAULT_SPACE))
    assert shares["lambda_con"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


def test_the_summary_has_the_best_trial_s_settings() -> None:
    result = ruled_by_lambda_con()
    lines = sweep_text(
        result, importances(as_study(result, DEFAULT_SPACE)), "labelled_auc"
    ).splitlines()
    best = {line.split()[0]: line.split()[1] for line in lines[1:6]}
    assert best == {"setting": "best"} | {n: f"{value:.4g}" for n, value in result.best.items()}
    assert lines[0].startswith(f"best labelled_auc {result.value:.3f} of 21 trials")


def test_the_summary_says_how_the_time_went_and_what_failed() -> None:
    result = ruled_by_lambda_con()
    text = sweep_text(result, importances(as_study(result, DEFAULT_SPACE)), "labelled_auc")
    assert "of 21 trials: finished 20, stopped 0, failed 1" in text
    assert "; training took 60% of their 210 s\n" in text
    assert "failed: lambda_adv 1, lambda_con 40, lambda_lat 1, latent_dim 10: loss_g is nan" in text


@pytest.mark.slow
@pytest.mark.parametrize(("count", "failed"), [(19, 3), (20, 0)])
def test_importances_of_few_trials_come_with_a_caution(count: int, failed: int) -> None:
    done = ruled_by_lambda_con().trials[:count]
    result = SweepResult([*done, *(trial(0.9, state="failed", at=n) for n in range(failed))])
    said = "19 trials are no evidence, 20 or more are needed (tune.trials)" if failed else ""
    assert caution_of(result) == said
    lines = sweep_text(result, importances(as_study(result, DEFAULT_SPACE)), "labelled_auc").split(
        "\n"
    )
    assert [line for line in lines if "importance: " in line] == [f"importance: {said}"] * (
        count < 20
    )


@pytest.mark.slow
def test_trials_too_alike_to_tell_what_decides_have_no_importances(tmp_path: Path) -> None:
    result = rank([trial(0.7), trial(0.7 + 1e-12, at=1)])
    write_summary(tmp_path, result, DEFAULT_SPACE, "labelled_auc")
    assert importances(as_study(result, DEFAULT_SPACE)) == {}
    assert "not defined" in (tmp_path / "summary.txt").read_text()


@pytest.mark.slow
def test_what_a_method_does_not_have_was_not_searched(tmp_path: Path) -> None:
    trials = [
        replace(trial(value), settings={"latent_dim": 5 * n}) for n, value in ((1, 0.7), (2, 0.8))
    ]
    write_summary(tmp_path, rank(trials), DEFAULT_SPACE, "labelled_auc")
    assert "lambda_con" not in (tmp_path / "summary.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 20])
def test_figures_are_drawn_for_as_many_trials_as_there_are(tmp_path: Path, count: int) -> None:
    result = SweepResult(ruled_by_lambda_con().trials[:count])
    write_summary(tmp_path, result, DEFAULT_SPACE, "labelled_auc")
    found = {path.stem for path in (tmp_path / "figures").iterdir()}
    compared = {"parallel_coordinates", "importances"} if count > 1 else set()
    assert found == {"history", "timeline"} | compared


def test_a_grid_is_every_combination_and_nothing_else() -> None:
    result, space = grid()
    assert is_grid(result, space)
    assert not is_grid(SweepResult(result.trials[1:]), space)
    assert not is_grid(SweepResult([result.trials[0]]), dict.fromkeys(space, Choices((1,))))
    assert not is_grid(ruled_by_lambda_con(), DEFAULT_SPACE)


@pytest.mark.slow
def test_a_grid_has_a_figure(tmp_path: Path) -> None:
    result, space = grid()
    write_summary(tmp_path, result, space, "labelled_auc")
    assert (tmp_path / "figures" / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_each_figure_is_of_the_sweep_and_its_objective_with_the_caution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}
    for name in ("history", "timeline", "importances", "parallel_coordinates", "grid"):
        monkeypatch.setattr(
            summary, f"draw_{name}", lambda path, *given: told.update({path.stem: given})
        )
    shares = {"lambda_con": 1.0}
    monkeypatch.setattr(summary, "importances", lambda _: shares)
    result, space = grid()
    write_summary(tmp_path, result, space, "labelled_auc")
    study, objective = told.pop("parallel_coordinates")
    assert (study.best_value, objective) == (result.value, "labelled_auc")
    title = "Importance for labelled_auc, from 5 trials"  # the sixth failed
    assert told == {
        "history": (result.trials, "labelled_auc"),
        "timeline": (result.trials,),
        "importances": (shares, title, caution_of(result)),
        "grid": (result, "labelled_auc"),
    }


def test_each_trial_s_run_gets_its_result_and_a_trial_of_an_earlier_run_gets_a_run() -> None:
    run, other = NotingRun(), NotingRun()
    sweep = SimpleNamespace(children=lambda _: {"trial-t1": run}, child=other.child)
    first, second = trial(0.6, at=1), trial(0.7, at=2)
    log_trials(cast(StoredRun, sweep), rank([first, second]))
    result = [
        ("log_missing_history", ()),
        ("log_metrics", {BEST_OBJECTIVE: 0.6}),
        ("set_tags", {"state": "finished", "reason": ""}),
    ]
    assert run.told == result  # its end is not logged again
    assert other.told[0] == ("child", "trial-t2", second.settings)
    assert other.told[2] == ("log_metrics", {BEST_OBJECTIVE: 0.7})
    assert other.told[-1] == ("finish", "FINISHED")


def test_what_is_missing_of_a_trial_is_logged_before_its_run_is_closed() -> None:
    run, curve = NotingRun(), [{"epoch": 1.0, "loss_g": 2.5}]
    one = replace(trial(0.7, state="failed"), curve=curve)
    log_trial(cast(StoredRun, run), one)
    assert run.told == [
        ("child", "trial-t0", one.settings),
        ("log_missing_history", curve),
        ("log_metrics", {BEST_OBJECTIVE: 0.7}),
        ("set_tags", {"state": "failed", "reason": "loss_g is nan in epoch 1"}),
        ("finish", "FAILED"),
    ]
