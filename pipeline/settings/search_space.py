"""The search space of a sweep: for each setting a range or a list of choices."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pipeline.common.errors import InputError, require
from pipeline.settings.checks import StrictBlock
from pipeline.settings.model import LossSettings, ModelSettings

LOSS_NAMES = tuple(field.name for field in fields(LossSettings))
MODEL_NAMES = tuple(field.name for field in fields(ModelSettings))
MODEL_NUMBERS = tuple(field.name for field in fields(ModelSettings) if field.type in (int, float))
INTEGERS = {f.name for of in (LossSettings, ModelSettings) for f in fields(of) if f.type is int}

Value = int | float
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Choices(StrictBlock):
    """A list of values, all equally likely."""

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        require(len(self.choices) > 0, "choices", self.choices, "one or more")


Range = tuple[float, float]  # low and high of a log-uniform range
Space = Mapping[str, Range | Choices]

# The default of the parameter `tune.space`.
DEFAULT_SPACE: Space = {
    "lambda_adv": (0.1, 10),
    "lambda_con": (4, 400),
    "lambda_lat": (0.1, 10),
    "latent_dim": Choices((25, 50, 100, 200)),
}


def check_space(space: Space) -> None:
    """Refuse a space that no trial can be drawn from.

    Raises:
        InputError: a name is no setting, a setting of Equation 4 is missing, or a range is empty.
    """
    for name, values in space.items():
        names = (*LOSS_NAMES, *MODEL_NUMBERS)
        require(name in names, "space", name, f"one of {', '.join(names)}")
        if isinstance(values, Choices):
            wrong = [v for v in values.choices if name in INTEGERS and not isinstance(v, int)]
            require(not wrong, f"space.{name}.choices", wrong, "whole numbers")
        else:
            low, high = values
            require(0 < low < high, f"space.{name}", [low, high], "two numbers, 0 < low < high")
            is_real = name not in INTEGERS
            require(is_real, f"space.{name}", [low, high], "choices of whole numbers")
    for name in LOSS_NAMES:
        require(name in space, "space", sorted(space), f"{name} too (one choice to fix it)")


def check_values(space: Space, model: ModelSettings) -> None:
    """Refuse a space with a value that its setting does not allow beside the other settings.

    Raises:
        InputError: names the setting and the value.
    """
    losses = LossSettings(1, 1, 1, 1)
    for name, values in space.items():
        changed: ModelSettings | LossSettings = losses if name in LOSS_NAMES else model
        for value in values.choices if isinstance(values, Choices) else values:
            try:
                replace(changed, **{name: value})  # type: ignore[arg-type]
            except InputError as error:
                raise InputError(f"tune.space.{error}") from None


def settings_of_trial(values: Values, model: ModelSettings) -> tuple[ModelSettings, LossSettings]:
    """Return the model settings with a trial's values filled in, and the loss settings.

    A loss weight without a value is 0: a sweep leaves out the loss weights that a method lacks.

    Raises:
        InputError: a value is out of the range that its setting allows.
    """
    searched: dict[str, Any] = {n: value for n, value in values.items() if n in MODEL_NAMES}
    losses: dict[str, Any] = {name: values.get(name, 0) for name in LOSS_NAMES}
    return replace(model, **searched), LossSettings(**losses)
