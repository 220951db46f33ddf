"""What a module imports, read from the source, without importing anything."""

import ast
from functools import cache
from pathlib import Path
from typing import get_args

from pipeline.settings.methods import MethodName

ROOT = Path(__file__).parents[1]
OURS = ("pipeline", "stages")
ORCHESTRATION = ("ray", "mlflow", "dvc", "pydantic", "optuna")
LOOKS_UP_METHODS = "pipeline.models.interface"  # it imports them by their names


def import_closure(module: str) -> set[str]:
    """The files of this project that `module` imports, directly or not, itself included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = module_file(name)
        if path is None or path in found:
            continue
        found.add(path)
        waiting += _parents(name)
        if name == LOOKS_UP_METHODS:
            waiting += [
                f"pipeline.models.methods.{method}.method" for method in get_args(MethodName)
            ]
        waiting += imported_names(path)
    return found


@cache
def imported_names(path: str) -> tuple[str, ...]:
    """Every name that a file imports; ``from a import b`` gives both ``a`` and ``a.b``."""
    names: list[str] = []
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


@cache
def module_file(name: str) -> str | None:
    """The file of one of our modules, relative to the root; None for anything else."""
    if name.split(".", maxsplit=1)[0] not in OURS:
        return None
    base = ROOT / name.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path.relative_to(ROOT).as_posix()
    return None


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]
