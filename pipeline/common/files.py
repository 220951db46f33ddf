"""Atomic writes, readers of CSV, YAML and foreign files, and digests."""

import csv
import hashlib
import inspect
import io
import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError

from pipeline.common.errors import InputError
from pipeline.common.nesting import MAX_DEPTH, LimitedParser, is_deep_json
from pipeline.common.processes import is_alive

SCRATCH = "skipscan-scratch-"  # the beginning of the names of scratch folders
UNFINISHED = ".tmp"  # the end of the names of files that are being written
MAX_YAML_BYTES = 2**16  # parsing this much YAML takes one second


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write `content` to a file beside `path`, then rename it: readers see all of it or none.

    Raises:
        OSError: as in `write_parts`.
    """
    write_parts(path, [content], mode)


def write_parts(path: Path, parts: Iterable[bytes], mode: int = 0o666) -> None:
    """Write the parts of a file one after the other, as `write_atomically` does.

    The umask takes its bits from the file's `mode`.

    Raises:
        OSError: the disk is full, or cannot be written; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
        rename_durably(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:  # on a full disk, a half-written file would only take space
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove files that killed processes left half-written below a folder."""
    for path in folder.rglob(f".*{UNFINISHED}"):
        writer = path.name.removesuffix(UNFINISHED).rpartition(".")[2]
        if not (writer.isdecimal() and is_alive(int(writer))):
            path.unlink(missing_ok=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder among the temporary files, and remove it at the end.

    Folders that killed processes have left on this machine are removed first. Nodes may share a
    TMPDIR, so the folders' names tell the machine, by a digest that keeps paths of sockets short.
    """
    here = f"{SCRATCH}{digest(socket.gethostname())[:8]}-"
    for folder in Path(tempfile.gettempdir()).glob(f"{here}*-*"):
        owner = folder.name.removeprefix(here).partition("-")[0]
        if owner.isdecimal() and not is_alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{here}{os.getpid()}-") as made:
        yield Path(made)


def rename_durably(temporary: Path, path: Path) -> None:
    """Give a complete file its name, in an order that holds when the power fails.

    The content is on the disk before the name, and the name is on the disk before this returns.
    """
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def is_plain_name(name: object) -> bool:
    """Whether a name from outside is a file's name alone, without a path to another folder."""
    return (
        isinstance(name, str)
        and name not in {"", ".", ".."}
        and name.isprintable()
        and not set(name) & {"/", "\\"}
    )


def special_file_kind(path: Path) -> str | None:
    """Return "a FIFO", "a socket" or "a device", which may wait or act for ever, or None."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all; NaN raises ValueError."""
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV with a header, whole or not at all."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, text.getvalue().encode())


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
        InputError: the file is not valid YAML, or a mapping has the same key twice; or it is larger
            than `MAX_YAML_BYTES`, nested too deep, or its aliases make more of it. The message is
            one line, with the file and the line number.
        OSError: the file cannot be read.
    """
    content = _read_file(path, MAX_YAML_BYTES)
    try:
        return _parse_yaml(content)
    except DuplicateKeyError as error:
        key = str(error.problem).partition('"')[2].partition('"')[0]
        reason = f"line {error.problem_mark.line + 1}: the key {key!r} is given twice: remove one"
    except MarkedYAMLError as error:
        reason = f"line {error.problem_mark.line + 1}: {error.context or ''} {error.problem}"
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # YAMLError, and any of Python's from a value of a wrong tag
        reason = f"a value that cannot be read: {error}"
    raise InputError(f"{path}: not valid YAML: {' '.join(reason.split())}")


def read_json(path: Path) -> Any:
    """Read a file of JSON that may be someone else's.

    Raises:
        InputError: the file is not JSON, or nested deeper than `MAX_DEPTH`.
        OSError: the file cannot be read.
    """
    content = _read_file(path)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if is_deep_json(content):
        raise InputError(f"{path}: nested deeper than {MAX_DEPTH} levels: flatten it")
    return data


def _read_file(path: Path, most: int | None = None) -> bytes:
    """Return the bytes of a file, up to a number of them.

    Raises:
        InputError: the file is larger; or it is a FIFO, a socket or a device.
        OSError: the file cannot be read.
    """
    kind = special_file_kind(path)
    if kind:
        raise InputError(f"{path}: {kind}, not a file: remove it")
    with path.open("rb") as file:
        content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise InputError(f"{path}: more than {most:,} bytes, expected a small file of YAML")
    return content


def value_at(content: Any, keys: Iterable[str]) -> Any:
    """Return the value under nested keys; None where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def yaml_text(content: Any) -> str:
    """Return `content` as YAML 1.2 for `read_yaml`: one line per value, keys in their order."""
    text = io.StringIO()
    _yaml().dump(content, text)
    return text.getvalue()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def current_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex; "" if it cannot be read, or has gone.

    A file of the same size and time is not read twice by this process.
    """
    try:
        return _digest_at(path, size_and_time(path))
    except OSError:
        return ""


@lru_cache(maxsize=2**16)
def _digest_at(path: Path, about: tuple[int, int]) -> str:  # noqa: ARG001  for the cache alone
    return file_digest(path)


def size_and_time(path: Path) -> tuple[int, int]:
    """Return a file's size and the time of its last change, (0, 0) if it has gone."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


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


def _parse_yaml(content: bytes) -> Any:
    """Parse YAML; the tests keep its results, since they read the same files all the time."""
    return _yaml().load(content)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Parser = LimitedParser
    yaml.composer.warn_double_anchors = False  # the parser refuses them
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed as None
    return yaml
