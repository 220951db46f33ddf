"""Turns the errors that pydantic finds in parameters into one line for the user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from pipeline.common.errors import InputError
from pipeline.common.files import value_at

# Types that pydantic has tried, as it writes them into `loc` of an error.
TRIED = ("float", "int", "str", "tuple[float, float]", "BagColumn", "Choices", "WorkerRange")
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
MISSING = ("missing", "missing_argument")


@dataclass(frozen=True)
class ValidationMessages:
    """Makes messages that name the file and the parameter of an error.

    Attributes:
        settings: the dataclass of all parameters, whose blocks are dataclasses.
        params: the parameters of params.yaml.
        preset: the parameters of the preset, which count if `params` has none.
        of_params, of_preset: what a message about a parameter of either begins with.
    """

    settings: Any
    params: Mapping[str, Any]
    preset: Mapping[str, Any]
    of_params: str
    of_preset: str

    def refuse_booleans(self, content: Any, key_path: tuple[str, ...] = ()) -> None:
        """Refuse true and false, which pydantic would take for 1 and 0.

        Raises:
            InputError: names the parameter.
        """
        if isinstance(content, bool):
            raise InputError(
                f"{self._file(key_path)}{'.'.join(key_path)}: got {content}, expected a number or "
                "a word: quote it if it is a name"
            )
        if isinstance(content, Mapping):
            for key, value in content.items():
                self.refuse_booleans(value, (*key_path, str(key)))
        elif isinstance(content, list):
            for value in content:
                self.refuse_booleans(value, key_path)

    def message_of(self, validation: ValidationError) -> str:
        """Return the error that explains most, and the number of other errors, on one line.

        An unknown key comes before a missing one: a misspelt key is both.
        """
        errors = validation.errors()
        # If a value may have several types, pydantic gives one error for each type, and `loc` ends
        # with the type. The user meant the type that reached our own check, or the deepest `loc`.
        order = ("value_error", *UNKNOWN)
        first = next(
            (error for kind in order for error in errors if error["type"] == kind),
            max(errors, key=lambda error: len(error["loc"])),
        )
        unknown = first["type"] in UNKNOWN
        key_paths = {tuple(_key_path(f)) for f in errors if not (unknown and f["type"] in MISSING)}
        # A value of several types has an error at its own key too, for each type that is no block.
        first_path = _key_path(first)
        key_paths -= {tuple(first_path[:length]) for length in range(1, len(first_path))}
        more = f" (and {len(key_paths) - 1} more)" if len(key_paths) > 1 else ""
        same = [error for error in errors if _key_path(error) == first_path]
        return f"{self._described(first, same)}{more}"

    def _described(self, error: Mapping[str, Any], same: Sequence[Mapping[str, Any]]) -> str:
        """Return the file, the parameter, the error and the remedy.

        Args:
            error: the error that explains most.
            same: all errors of that parameter, one for each type that was tried.
        """
        kind, got, key_path = error["type"], error["input"], _key_path(error)
        if kind == "value_error":  # our own, which starts with the parameter's name
            message = str(error["ctx"]["error"])
            names = message.partition(":")[0].split(".")
            return f"{self._file([*key_path, *names])}{'.'.join([*key_path, message])}"
        if kind == "invalid_key" or key_path[-1] == "[key]":
            block = key_path[: -2 if key_path[-1] == "[key]" else -1]
            where = f"{'.'.join(block)}: " if block else ""
            return f"{self.of_params}{where}got the key {got!r}, expected a word: quote it"
        expected = " or ".join(dict.fromkeys(_expected(each) for each in same))
        text = f"got {got!r}, expected {expected}"
        if kind in UNKNOWN:
            text = f"unknown parameter: {self._advice(key_path)}"
        elif kind in MISSING:
            text = "missing: give it a value, or null where the preset has one"
        return f"{self._file(key_path)}{'.'.join(key_path)}: {text}"

    def _file(self, key_path: Sequence[str]) -> str:
        """Return the beginning of a message: the file that a parameter is from."""
        if len(key_path) == 1 and key_path[0] in self.params:
            return self.of_params
        value = value_at(self.params, key_path[:2])
        from_preset = value is None and value_at(self.preset, key_path[:2]) is not None
        return self.of_preset if from_preset else self.of_params

    def _advice(self, key_path: Sequence[str]) -> str:
        """Return what to do about an unknown parameter: the nearest known one, if there is one."""
        blocks = _names(self.settings)
        *block, name = key_path
        known = blocks.get(block[0], ()) if block else tuple(blocks)
        near = get_close_matches(name, known, 1)
        elsewhere = [f"{other}.{name}" for other, names in blocks.items() if name in names]
        candidates = [".".join([*block[:1], near[0]])] if near else elsewhere
        return f"did you mean {candidates[0]}?" if candidates else "remove it or correct its name"


def _expected(error: Mapping[str, Any]) -> str:
    """Return the values that one type allows, from pydantic's message."""
    if error["type"] == "dataclass_type":
        return "a block of parameters"
    return str(error["msg"]).removeprefix("Input should be ").partition(", unable to parse")[0]


def _key_path(error: Mapping[str, Any]) -> list[str]:
    """Return the names of the block and the parameter, without the types that were tried."""
    parts = [str(part) for part in error["loc"]]
    named = {0, len(parts) - 1} if error["type"] in UNKNOWN else {0}  # by the user, never a type
    return [part for index, part in enumerate(parts) if index in named or not _is_type(part)]


def _is_type(part: str) -> bool:
    """Return whether a part of an error's `loc` is a type that pydantic has tried."""
    return part in TRIED or part.startswith("literal[")


def _names(settings: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of the parameters by block; parameters outside of blocks have none."""
    return {
        field.name: tuple(inner.name for inner in fields(field.type))
        if is_dataclass(field.type)
        else ()
        for field in fields(settings)
    }
