"""Compares the parameters and the code of a stage at its end with those at its start.

DVC reads parameters and code when a stage has ended. If they changed while the stage ran, DVC would
record the results with the new parameters and code, and take them for up to date.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.common.errors import InputError
from pipeline.common.files import file_digest, read_yaml, value_at

CODE = ("pipeline", "stages")


def inputs_of(stage: str) -> dict[str, Any]:
    """Read the parameters and digest the code that dvc.yaml lists for a stage, by their names.

    Returns {} without a dvc.yaml. A missing file ends the list: the stage reports this file.

    Raises:
        InputError: a file of parameters is not valid YAML.
    """
    inputs: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        listed = read_yaml(Path("dvc.yaml"))["stages"][stage]
        params = read_yaml(Path("params.yaml"))
        for entry in listed["params"]:
            by_file = entry if isinstance(entry, dict) else {"params.yaml": [entry]}
            for file, names in by_file.items():
                content = read_yaml(Path(file))
                for name in names:
                    key = name.replace("${preset}", str(params.get("preset")))
                    inputs[f"{file}: {key}"] = value_at(content, key.split("."))
        for name in listed["deps"]:
            path = Path(name)
            if path.parts[0] in CODE:
                files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
                inputs[name] = {str(file): file_digest(file) for file in files}
    return inputs


def require_unchanged(stage: str, before: Mapping[str, Any]) -> None:
    """Refuse the results of a stage whose parameters or code have changed while it ran.

    Args:
        stage: the stage's name.
        before: the result of `inputs_of` at the stage's start.

    Raises:
        InputError: names the parameters and the code that have changed.
    """
    now = inputs_of(stage)
    changed = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
    if changed:
        raise InputError(
            f"{', '.join(sorted(changed))}: changed while the stage {stage} ran, so its results "
            "belong to the old values: run `dvc repro` again"
        )
