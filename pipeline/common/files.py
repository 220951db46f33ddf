"""Atomic writes, readers of CSV and YAML, and digests."""

import csv
import hashlib
import inspect
import io
import json
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline.common.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to a file beside `path`, then rename it: readers see all of it or none.

    Raises:
        OSError: the disk is full, or cannot be written; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        publish(beside, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:  # on a full disk, what was written of it only takes room
        beside.unlink(missing_ok=True)


def publish(beside: Path, path: Path) -> None:
    """Give a complete file its name, in an order that holds when the power fails.

    The content is on the disk before the name is, and the name before this returns.
    """
    _sync(beside)
    beside.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def is_plain_name(name: object) -> bool:
    """Whether a name from outside is that of a file in a folder, and of none elsewhere."""
    return (
        isinstance(name, str)
        and name not in {"", ".", ".."}
        and name.isprintable()
        and not set(name) & {"/", "\\"}
    )


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all; NaN raises ValueError."""
    write_whole(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV with a header, whole or not at all."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(path, text.getvalue().encode())


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, with or without a byte order mark, into one dict per row."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def read_numbers(path: Path) -> list[dict[str, float]]:
    """Read a CSV file of numbers into one dict per row."""
    return [{name: float(value) for name, value in row.items()} for row in read_table(path)]


def read_yaml(path: Path) -> Any:
    """Read a file of YAML 1.2, as DVC does: ``no``, ``on`` and ``y`` are words, not booleans.

    Raises:
        InputError: the file is not valid YAML, or a mapping has the same key twice; the message
            is one line, with the file and the line number.
        OSError: the file cannot be read.
    """
    try:
        return _yaml().load(path.read_bytes())
    except DuplicateKeyError as error:
        key = str(error.problem).partition('"')[2].partition('"')[0]
        reason = f"line {error.problem_mark.line + 1}: the key {key!r} is given twice: remove one"
    except MarkedYAMLError as error:
        reason = f"line {error.problem_mark.line + 1}: {error.context or ''} {error.problem}"
    except (YAMLError, ValueError, RecursionError) as error:  # ValueError: a date with month 13
        reason = str(error)
    raise InputError(f"{path}: not valid YAML: {' '.join(reason.split())}")


def yaml_text(content: Any) -> str:
    """Return `content` as YAML 1.2 for `read_yaml`: one line per value, keys in their order."""
    text = io.StringIO()
    _yaml().dump(content, text)
    return text.getvalue()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(names: Sequence[str]) -> str:
    """Return the SHA-256, in hex, of the source of modules, and of packages with their modules."""
    return digest([path.read_text(encoding="utf-8") for name in names for path in _sources(name)])


def _sources(name: str) -> list[Path]:
    file = Path(inspect.getfile(import_module(name)))
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def digest(content: Any) -> str:
    """Return the SHA-256 of JSON-like content, in hex; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def project_root() -> Path:
    """Return the project's root; in the copy that `dvc exp run --temp` makes, the original's."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed as None
    return yaml


UNFINISHED = ".tmp"
