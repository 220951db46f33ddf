"""That a sweep goes towards the highest objective, without a cluster."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from ray.tune import Result, ResultGrid, TuneConfig
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from pipeline.cluster.storage import Storage
from pipeline.settings.blocks import TuneSettings
from pipeline.sweeps import tune as ray_tune
from pipeline.sweeps.snapshots import rungs
from pipeline.sweeps.trainable import OBJECTIVE, SweepJob
from pipeline.sweeps.trials import TrackTrials, collect_results
from pipeline.tracking.tracked_run import NoRun
from pipeline.training.criterion import IMPLANT_AUC
from tests.on_ray.jobs import TUNE
from tests.tiny import MODEL


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Ray's `Tuner` is told of a sweep by Optuna with ASHA."""
    monkeypatch.setattr(ray_tune, "Tuner", lambda _trainable, **told: told)
    job = SweepJob(MODEL, TUNE, "patches", IMPLANT_AUC, "key")
    callback = TrackTrials(NoRun(), IMPLANT_AUC)
    return cast(dict[str, Any], ray_tune._new_tuner(None, job, Storage("storage"), callback))


def test_asha_stops_the_trial_with_the_lower_objective(tuner: dict[str, Any]) -> None:
    config: TuneConfig = tuner["tune_config"]
    scheduler = cast(ASHAScheduler, config.scheduler)
    scheduler.set_search_properties(config.metric, config.mode)  # as Tune does
    controller: Any = None  # which ASHA does not ask
    decisions = []
    for objective in (0.7, 0.9, 0.6, 0.8):
        trial = Trial("run", stub=True)
        scheduler.on_trial_add(controller, trial)
        result = {"epoch": 1, OBJECTIVE: objective}
        decisions.append(scheduler.on_trial_result(controller, trial, result))
    go_on, stop = TrialScheduler.CONTINUE, TrialScheduler.STOP
    assert decisions == [go_on, go_on, stop, go_on]


def test_optuna_looks_where_the_objective_is_high(tuner: dict[str, Any]) -> None:
    config: TuneConfig = tuner["tune_config"]
    searcher = cast(OptunaSearch, config.search_alg)
    searcher.set_search_properties(config.metric, config.mode, tuner["param_space"])
    tried = []
    for number in range(30):
        settings = searcher.suggest(str(number))
        assert settings is not None
        tried.append(np.log(settings["lambda_con"]))
        searcher.on_trial_complete(str(number), {OBJECTIVE: tried[-1]})
    assert np.mean(tried[10:]) > np.log(80)  # twice the middle of the range from 4 to 400


def result_of(name: str, lambda_con: float, *objectives: float) -> Result:
    """A trial with this objective in each of its epochs of 2 s, the first from second 10 on."""
    epochs = np.arange(1, len(objectives) + 1)
    curve = pd.DataFrame(
        {
            "epoch": epochs,
            OBJECTIVE: objectives,
            "loss_g": 1.0,
            "seconds": 1.5,
            "timestamp": 10 + 2 * epochs,
            "time_total_s": 2.0 * epochs,
        }
    )
    metrics = {"config": {"lambda_con": lambda_con}}
    return Result(metrics, None, None, f"storage/{name}", curve)


def test_the_best_epoch_of_the_best_trial_wins() -> None:
    grid = [result_of("a", 4, 0.8, 0.8, 0.8), result_of("b", 40, 0.6, 0.9, 0.7)]
    grid.append(result_of("c", 400, 0.5))
    found = collect_results(cast(ResultGrid, grid), replace(TUNE, epochs=3))
    assert [
        (trial.trial, trial.objective, trial.state, trial.epochs) for trial in found.trials
    ] == [
        ("b", 0.9, "finished", 3),
        ("a", 0.8, "finished", 3),
        ("c", 0.5, "stopped", 1),
    ]
    assert (found.best, found.value) == ({"lambda_con": 40}, 0.9)
    first = found.trials[0]
    assert (first.training_seconds, first.started, first.ended) == (4.5, 0, 6)
    assert [epoch[OBJECTIVE] for epoch in first.curve] == [0.6, 0.9, 0.7]


def test_a_sweep_is_seeded_and_searches_by_logarithm() -> None:
    def suggested(asked: TuneSettings) -> list[Any]:
        searcher = ray_tune._sampler(asked)
        assert isinstance(searcher, OptunaSearch)
        searcher.set_search_properties("objective", "max", {"x": ray_tune._domain((1, 100), asked)})
        found = [searcher.suggest(str(number)) for number in range(3)]
        return [each["x"] for each in found if isinstance(each, dict)]

    assert suggested(TUNE) == suggested(TUNE) != suggested(replace(TUNE, seed=1))
    draws = [ray_tune._domain((1, 10_000), TUNE).sample() for _ in range(400)]
    assert 50 < np.median(draws) < 200


def test_a_sweep_s_key_depends_on_all_that_decides_it() -> None:
    keys = {
        ray_tune.sweep_key(MODEL, TUNE, "data"),
        ray_tune.sweep_key(MODEL, TUNE, "other"),
        ray_tune.sweep_key(replace(MODEL, ngf=8), TUNE, "data"),
        ray_tune.sweep_key(MODEL, replace(TUNE, seed=1), "data"),
    }
    assert len(keys) == 4


def test_a_resumed_sweep_s_asha_has_its_rungs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_tune, "Tuner", lambda _, **told: told)
    job, known = SweepJob(MODEL, TUNE, "patches", IMPLANT_AUC, "key"), [(1, {"a": 0.5})]
    callback = TrackTrials(NoRun(), IMPLANT_AUC)
    told = cast(Any, ray_tune._new_tuner(None, job, Storage("storage"), callback, known))
    assert rungs(told["tune_config"].scheduler) == known
