"""The search space of a sweep: for each setting a range or a list of choices."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from pipeline.common.errors import require
from pipeline.settings.model import LossSettings, ModelSettings

LOSS_NAMES = tuple(field.name for field in fields(LossSettings))
MODEL_NAMES = tuple(field.name for field in fields(ModelSettings))

Value = int | float
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Choices:
    """A list of values, all equally likely."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        require(len(self.choices) > 0, "choices", self.choices, "one or more")


Range = tuple[float, float]  # low and high of a log-uniform range
Space = Mapping[str, Range | Choices]


def check_space(space: Space) -> None:
    """Refuse a space that no trial can be drawn from.

    Raises:
        InputError: a name is no setting, a setting of Equation 4 is missing, or a range is empty.
    """
    for name, values in space.items():
        known = (*LOSS_NAMES, *MODEL_NAMES)
        require(name in known, "space", name, f"one of {', '.join(known)}")
        if not isinstance(values, Choices):
            low, high = values
            require(0 < low < high, f"space.{name}", [low, high], "two numbers, 0 < low < high")
    for name in LOSS_NAMES:
        require(name in space, "space", sorted(space), f"{name} too (one choice to fix it)")


def apply(values: Values, model: ModelSettings) -> tuple[ModelSettings, LossSettings]:
    """Return the model settings with a trial's values filled in, and the loss settings.

    A loss weight without a value is 0: a sweep leaves out the loss weights that a method lacks.

    Raises:
        InputError: a value is out of the range that its setting allows.
    """
    searched: dict[str, Any] = {n: value for n, value in values.items() if n in MODEL_NAMES}
    losses: dict[str, Any] = {name: values.get(name, 0) for name in LOSS_NAMES}
    return replace(model, **searched), LossSettings(**losses)
