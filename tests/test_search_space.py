from dataclasses import replace
from typing import Any

import pytest

from pipeline.common.errors import InputError
from pipeline.settings.blocks import TrainBlock
from pipeline.settings.methods import MethodName
from pipeline.settings.model import LAMBDAS
from pipeline.settings.search_space import settings_of_trial
from pipeline.sweeps.results import Best, choose_settings
from tests.tiny import MODEL

NO_SWEEP = Best(None, objective="none", value=None, trials=0, run_id=None)

VALUES = {"lambda_adv": 1, "lambda_con": 40, "lambda_lat": 1, "latent_dim": 10}


def block(**given: float | str) -> TrainBlock:
    settings: dict[str, Any] = dict.fromkeys(VALUES, "sweep") | given
    return TrainBlock(**settings, epochs=1, seed=0, workers=1, cpus=1, gpus=0, false_alarm_rate=0.1)


def test_values_go_where_they_belong() -> None:
    model, losses = settings_of_trial({**VALUES, "learning_rate": 1e-3, "ngf": 2}, MODEL)
    assert (model.learning_rate, model.ngf, model.ndf) == (1e-3, 2, MODEL.ndf)
    assert (losses.lambda_con, losses.latent_dim) == (40, 10)


def test_a_value_that_its_setting_does_not_allow_is_refused() -> None:
    with pytest.raises(InputError, match="beta1: got 2, expected from 0 to below 1"):
        settings_of_trial({**VALUES, "beta1": 2}, MODEL)


def test_the_training_takes_from_the_sweep_what_it_does_not_say_itself() -> None:
    best = replace(NO_SWEEP, settings={**VALUES, "learning_rate": 1e-3})
    model, losses = choose_settings(MODEL, block(lambda_con=50.0), best)
    assert (losses.lambda_con, losses.lambda_adv, model.learning_rate) == (50, 1, 1e-3)


def test_a_training_that_says_all_itself_takes_nothing_from_the_sweep() -> None:
    best = replace(NO_SWEEP, settings={**VALUES, "learning_rate": 1e-3})
    model, losses = choose_settings(MODEL, block(**dict.fromkeys(VALUES, 7)), best)
    assert (losses.lambda_con, model) == (7, MODEL)


@pytest.mark.parametrize(
    ("method", "weights"),
    [("skip_ganomaly", (1, 40, 1)), ("ganomaly", (1, 50, 1)), ("egbad", (0, 0, 0))],
)
def test_a_weight_may_be_the_method_s_own(method: MethodName, weights: tuple[int, ...]) -> None:
    asked = block(**dict.fromkeys(LAMBDAS, "method"), latent_dim=100)
    _, losses = choose_settings(replace(MODEL, method=method), asked, NO_SWEEP)
    assert (losses.lambda_adv, losses.lambda_con, losses.lambda_lat) == weights


def test_without_a_sweep_there_is_nothing_to_take() -> None:
    with pytest.raises(InputError, match=r"train\.lambda_adv: got .sweep., but tune.trials is 0"):
        choose_settings(MODEL, block(), NO_SWEEP)
