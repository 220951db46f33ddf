"""Prints the settings in effect, or the one line that is wrong: `python -m stages params`."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from pipeline.common.errors import InputError
from pipeline.common.files import yaml_text
from pipeline.settings.params import Settings, load_settings, make_settings, read_blocks

PARAMS, PRESETS = Path("params.yaml"), Path("presets.yaml")


def main(changes: Sequence[str] = ()) -> None:
    """Print the settings as YAML; `changes` are as for the option `-S` of `dvc exp run`."""
    settings = changed_settings(changes) if changes else load_settings(PARAMS, PRESETS)
    for name, folder in (("scans", settings.scans.folder), ("screen", settings.screen.folder)):
        if not Path(folder).exists():
            expected = "expected a folder that exists"
            raise InputError(f"{PARAMS}: {name}.folder: got {folder!r}, {expected}")
    print(yaml_text(asdict(settings)), end="")


def changed_settings(changes: Sequence[str]) -> Settings:
    """Return the settings that `dvc exp run` would use with these options `-S`; changes no file.

    Raises:
        InputError: a change is not of the form that DVC takes, or a parameter is wrong.
    """
    named = [(change.partition("=")[0].lstrip("+~"), change) for change in changes]
    for (name, change), (later, _) in combinations(named, 2):
        if name == later and not change.startswith("~"):  # `+name` may follow `~name`
            raise InputError(f"-S: {name} is given twice: DVC would take the last: remove one")
    by_file = to_path_overrides(changes)
    if unknown := by_file.keys() - {str(PARAMS), str(PRESETS)}:
        raise InputError(f"-S: got {min(unknown)}, expected {PARAMS} or {PRESETS}")
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / path for path in (PARAMS, PRESETS)]
        for path, copy in zip((PARAMS, PRESETS), copies, strict=True):
            read_blocks(path)  # names the file if it is missing
            shutil.copy(path, copy)
        try:
            if len(get_hydra_sweeps(by_file)) > 1:
                raise InputError("several values, for `dvc exp run --queue`: check one at a time")
            for name, listed in by_file.items():
                apply_overrides(Path(folder) / name, listed)
        except Exception as error:  # of DVC, or of the libraries that it parses changes with
            _require_known(by_file, copies)
            raise InputError(f"-S: got {' '.join(changes)}: {_reason_of(error)}") from None
        return _settings_of(copies)


def _reason_of(error: BaseException) -> str:
    """Return the reasons of an error of DVC, on one line; its own says only that it is one."""
    reasons = [str(error)]
    while error.__cause__:
        error = error.__cause__
        reasons.append(str(error))
    return " ".join(": ".join(reasons[1:] or reasons).split())


def _require_known(by_file: dict[str, list[str]], copies: Sequence[Path]) -> None:
    """Raise an error for a parameter that does not exist; DVC would advise to add it."""
    for name, listed in by_file.items():
        forced = [f"++{change.lstrip('+')}" for change in listed if not change.startswith("~")]
        try:
            apply_overrides(copies[0].parent / name, forced)
        except Exception:
            return
    _settings_of(copies)


def _settings_of(copies: Sequence[Path]) -> Settings:
    """Return the settings of copies of both files; messages name the files themselves."""
    given, available = map(read_blocks, copies)
    return make_settings(given, available, PARAMS, PRESETS)
