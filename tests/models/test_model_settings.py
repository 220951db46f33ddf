"""Which values the settings of models and losses take; `pipeline.models.interface` has options."""

import re
from dataclasses import replace
from typing import Any

import pytest

from pipeline.common.errors import InputError
from tests.tiny import LOSSES, MODEL

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("settings", "names", "taken", "refused", "expected"),
    [
        (MODEL, ["ngf", "ndf"], [1, 2], [0, -1], "1 or more"),
        (replace(MODEL, method="anogan"), ["search_steps"], [1, 2], [0, -1], "1 or more"),
        (MODEL, ["batch_size"], [2, 3], [1, 0], "2 or more"),
        (MODEL, ["learning_rate"], [1e-9, 1.0, 1.5], [0.0, -1.0], "more than 0"),
        (MODEL, ["beta1", "beta2"], [0.0, 0.999], [1.0, -0.001, 1.5], "from 0 to below 1"),
        (MODEL, ["score_lambda"], [0.0, 1.0], [-0.001, 1.001], "from 0 to 1"),
        (
            LOSSES,
            ["lambda_adv", "lambda_con", "lambda_lat"],
            [0.0, 0.5, 1e300],
            [-0.001, INF, NAN],
            "a finite number, 0 or more",
        ),
        (LOSSES, ["latent_dim"], [1, 2], [0, -1], "1 or more"),
    ],
)
def test_the_bounds_of_each_setting(
    settings: Any, names: list[str], taken: list[float], refused: list[float], expected: str
) -> None:
    for name in names:
        for value in taken:
            assert getattr(replace(settings, **{name: value}), name) == value
        for value in refused:
            message = f"^{name}: got {re.escape(repr(value))}, expected {expected}$"
            with pytest.raises(InputError, match=message):
                replace(settings, **{name: value})
