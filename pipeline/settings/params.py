"""The parameters of a run: `params.yaml`, completed by the preset that it names, validated once.

The blocks are plain dataclasses (`blocks.py`). Pydantic validates them strictly and refuses unknown
keys. A key that a block of params.yaml leaves out has its default, which params.yaml shows; null
takes the preset's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.common.errors import InputError, require
from pipeline.common.files import read_yaml
from pipeline.settings.blocks import (
    WHOLE_SOURCES,
    EvaluateSettings,
    ExtractSettings,
    ScanSettings,
    ScreenSettings,
    TrainBlock,
    TuneSettings,
)
from pipeline.settings.checks import StrictBlock, require_path_or_uri
from pipeline.settings.methods import WITHOUT_NETWORKS
from pipeline.settings.model import ModelSettings
from pipeline.settings.resources import WorkerRange, require_divisible
from pipeline.settings.scans import SplitShares
from pipeline.settings.search_space import Choices, check_values
from pipeline.settings.validation_messages import ValidationMessages

# Defaults of `scans.labelled_validation`. Users have few abnormal scans of their own, so all of
# these are test scans by default.
LABELLED_GENERATED, LABELLED_OWN = 0.3, 0.0


@dataclass(frozen=True)
class Settings(StrictBlock):
    """Every parameter of a run, the preset applied."""

    preset: str
    storage: str
    cache_gb: float
    scans: ScanSettings
    extract: ExtractSettings
    model: ModelSettings
    tune: TuneSettings
    train: TrainBlock
    evaluate: EvaluateSettings
    screen: ScreenSettings = field(default_factory=ScreenSettings)

    def __post_init__(self) -> None:
        require(0 < self.cache_gb < float("inf"), "cache_gb", self.cache_gb, "more than 0")
        require_path_or_uri("storage", self.storage)
        check_values(self.tune.space, self.model)
        self._require_shared_batches()
        self._require_sweep()
        self._require_epochs()
        if self.model.head == "labelled":
            share = self.scans.labelled_training
            expected = "more than 0, since model.head is labelled"
            require(share > 0, "scans.labelled_training", share, expected)
        if self.scans.uses_labels:
            kinds = self.scans.source, self.extract.mode
            within = self.extract.mode == "windows" and self.scans.source not in WHOLE_SOURCES
            expected = "extract.mode windows, and a source that says where threats are, for outside"
            require(within, "scans.normal_windows", kinds, expected)

    def _require_shared_batches(self) -> None:
        """Refuse a batch that the workers of a sweep or a training cannot share."""
        if self.model.method in WITHOUT_NETWORKS:
            return
        batch_size, space = self.model.batch_size, self.tune.space.get("batch_size")
        searched = [int(n) for n in space.choices] if isinstance(space, Choices) else [batch_size]
        for size in searched if self.tune.trials else []:
            require_divisible(size, self.tune.workers)
        workers = self.train.workers
        for count in workers.counts if isinstance(workers, WorkerRange) else [workers]:
            for size in searched if self.train.from_sweep else [batch_size]:
                require_divisible(size, count)

    def _require_sweep(self) -> None:
        """Refuse a training that takes a setting from a sweep that does not run."""
        if asking := self.train.from_sweep:
            expected = f"1 or more, since train.{asking[0]} is sweep: or give that a number"
            require(self.tune.trials > 0, "tune.trials", self.tune.trials, expected)

    def _require_epochs(self) -> None:
        """Require no epochs and trials of a method without networks, and an epoch of others."""
        method, epochs, trials = self.model.method, self.train.epochs, self.tune.trials
        if method not in WITHOUT_NETWORKS:
            require(epochs >= 1, "train.epochs", epochs, f"1 or more, since {method} is trained")
            return
        for name, value in (("tune.trials", trials), ("train.epochs", epochs)):
            expected = f"0, since {method} trains nothing: preset best has its values"
            require(value == 0, name, value, expected)


def source_params(scans: ScanSettings) -> dict[str, Any]:
    """Return the parameters of the `scans` block that decide how a source reads a scan."""
    others = {field.name for field in fields(SplitShares)}
    others |= {"folder", "seed", "count", "group", "bad_input", "parts", "unannotated"}
    return {name: value for name, value in vars(scans).items() if name not in others}


def load_settings(
    params_file: Path = Path("params.yaml"), presets_file: Path = Path("presets.yaml")
) -> Settings:
    """Read the parameters, fill their nulls from the preset that they name, and validate all.

    Raises:
        InputError: a file is missing or not YAML, or a parameter is unknown, missing or wrong;
            the message names the file and the parameter.
    """
    params, presets = read_blocks(params_file), read_blocks(presets_file)
    return make_settings(params, presets, params_file, presets_file)


def make_settings(
    params: Mapping[str, Any], presets: Mapping[str, Any], params_file: Path, presets_file: Path
) -> Settings:
    """Make settings of the content of both files, whose paths are for messages.

    Raises:
        InputError: as in `load_settings`.
    """
    name = params.get("preset")
    if not isinstance(name, str) or name not in presets:
        raise InputError(f"{params_file}: preset: got {name!r}, expected one of {sorted(presets)}")
    preset = presets[name] if isinstance(presets[name], dict) else {}
    if not all(isinstance(block, dict) for block in (presets[name], *preset.values())):
        raise InputError(
            f"{presets_file}: {name}: expected blocks of parameters, got {presets[name]}"
        )
    filled: dict[str, Any] = {**preset, **params}
    for block in preset.keys() & params.keys():
        if isinstance(params[block], dict):
            filled[block] = _fill(params[block], preset[block])
    if isinstance(filled.get("scans"), dict):
        filled["scans"] = _completed_scans(filled["scans"])
    of_params, of_preset = f"{params_file}: ", f"{presets_file}: {name}."
    messages = ValidationMessages(Settings, params, preset, of_params, of_preset)
    messages.refuse_booleans(filled)
    try:
        return _settings_type().validate_python(filled)
    except ValidationError as error:
        raise InputError(messages.message_of(error)) from None


@cache
def _settings_type() -> TypeAdapter[Settings]:
    """Return the validator of `Settings`, which takes as long to make as a file to read."""
    return TypeAdapter(Settings)


def _completed_scans(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block `scans`, with the default of `labelled_validation` that its source has."""
    scans = _fill(block, {})
    generated = scans.get("source", "generated") == "generated"
    share = LABELLED_GENERATED if generated else LABELLED_OWN
    return {"labelled_validation": share, **scans}


def read_blocks(path: Path) -> dict[str, Any]:
    """Read a file of parameters.

    Raises:
        InputError: the file is missing, or is not YAML of blocks.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: run from the project's root") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: expected a file of parameters") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of blocks, got {type(content).__name__}")
    return content


def _fill(block: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block, with each null or missing key taken from the preset."""
    return {**preset, **{key: value for key, value in block.items() if value is not None}}
