"""JSON files read into dataclasses, field by field: they may be damaged, or someone else's."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.common.errors import InputError

T = TypeVar("T")


def parse_record(kind: TypeAdapter[T], content: bytes | str, name: str, redo: str) -> T:
    """Return the record in JSON text.

    Args:
        kind: pydantic's adapter of the record's type.
        content: the JSON text.
        name: the file, for errors.
        redo: how to make the file again, for errors.

    Raises:
        InputError: it is not JSON, or a field is missing, unknown or of another type.
    """
    try:
        return kind.validate_json(content, strict=True)
    except ValidationError as error:
        raise InputError(f"{name}: {_fault(error)}: {redo}") from None


def _fault(error: ValidationError) -> str:
    """The first fault: the field, the reason, and its value."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    got = "" if first["type"] == "json_invalid" else f", got {first['input']!r:.80}"
    return f"{f'{where}: ' if where else ''}{first['msg']}{got}"
