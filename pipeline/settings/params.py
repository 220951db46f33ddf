"""The parameters of a run: `params.yaml`, completed by the preset that it names, validated once.

Each block is a plain dataclass. Blocks that library modules use are defined in modules of their
own, the other blocks here. Pydantic validates them strictly and refuses unknown keys. A key that a
block of params.yaml leaves out has its default, which params.yaml shows; null takes the preset's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Strict, TypeAdapter, ValidationError

from pipeline.common import terminal
from pipeline.common.errors import InputError, require
from pipeline.common.files import read_yaml
from pipeline.common.names import FALSE_ALARM_RATE
from pipeline.settings.checks import STRICT, require_colour, require_place, require_seed
from pipeline.settings.faults import FaultFinder
from pipeline.settings.methods import WITHOUT_NETWORKS
from pipeline.settings.model import LAMBDAS, ModelSettings
from pipeline.settings.resources import WorkerRange, WorkerResources, require_divisible
from pipeline.settings.scans import (
    BadInputRule,
    BagColumn,
    Parts,
    SplitShares,
    Unannotated,
    check_abnormal_class,
    check_classes,
    check_group,
)
from pipeline.settings.search_space import (
    LOSS_NAMES,
    SPACE,
    Choices,
    Range,
    check_space,
    check_values,
)
from pipeline.settings.windows import WindowRule

FROM_SWEEP: Literal["sweep"] = "sweep"
FROM_METHOD: Literal["method"] = "method"
FromSweep = Literal["sweep"]
FromElsewhere = Literal["sweep", "method"]
Source = Literal[
    "generated",
    "coco",
    "voc",
    "yolo",
    "labelme",
    "opixray",
    "hixray",
    "masks",
    "sixray",
    "mvtec",
    "class_folders",
    "folder",
    "cifar10",
]
WHOLE_SOURCES = ("cifar10", "class_folders")  # a threat is the whole scan
OWN_PARTS = ("cifar10", "class_folders", "mvtec")  # the set's parts are kept if `parts` is null
Sampler = Literal["optuna", "random", "grid"]
Scheduler = Literal["asha", "pbt", "none"]
# Settings that population based training may change while a trial runs.
MUTABLE = (*LAMBDAS, "learning_rate")

# Defaults of `scans.labelled_validation`. Users have few abnormal scans of their own, so all of
# these are test scans by default.
LABELLED_GENERATED, LABELLED_OWN = 0.3, 0.0

# `scans.folder` of generated scans, and `screen.folder` of none: an existing file, since DVC
# requires that the path exists.
NO_FOLDER = "data/README.md"

# Defaults of `extract.shard_scans` for the modes ``windows`` and ``whole``.
SHARD_SCANS, SHARD_WHOLE_SCANS = 16, 8192


@dataclass(frozen=True, kw_only=True)
class ScanSettings(SplitShares):
    """The `scans` block: which scans, and how they are split."""

    __pydantic_config__: ClassVar = STRICT

    count: int
    source: Source = "generated"
    folder: str = NO_FOLDER
    seed: int = 0
    abnormal_class: str = "car"
    classes: dict[str | Annotated[int, Strict()], str] = field(default_factory=dict)
    bad_input: BadInputRule = "fail"
    group: str | BagColumn | None = None
    parts: Parts = None
    unannotated: Unannotated | None = None

    @property
    def keeps_own_parts(self) -> bool:
        """Whether the set's own parts, if it has any, decide the splits."""
        return self.parts == "own" or (self.parts is None and self.source in OWN_PARTS)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.count >= 1, "count", self.count, "1 or more")
        if self.source == "generated":
            expected = "the format of the scans in scans.folder, or that parameter as it was"
            require(self.folder == NO_FOLDER, "source", self.source, expected)
        else:
            expected = "the folder of your scans, such as data/raw"
            require(self.folder != NO_FOLDER, "folder", self.folder, expected)
            require_place("folder", self.folder)
        require_seed(self.seed)
        check_abnormal_class(self.abnormal_class)
        check_classes(self.classes)
        check_group(self.group)


@dataclass(frozen=True)
class ExtractSettings(WindowRule):
    """The `extract` block: the window rule, and the size of a shard."""

    __pydantic_config__: ClassVar = STRICT

    shard_scans: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.scans_per_shard
        require(most >= 1, "shard_scans", most, "1 or more, or null")

    @property
    def window_rule(self) -> WindowRule:
        """The window rule alone."""
        return WindowRule(**{field.name: getattr(self, field.name) for field in fields(WindowRule)})

    @property
    def scans_per_shard(self) -> int:
        """The most scans in one shard; they usually give some thousand windows."""
        default = SHARD_SCANS if self.mode == "windows" else SHARD_WHOLE_SCANS
        return default if self.shard_scans is None else self.shard_scans


@dataclass(frozen=True, kw_only=True)
class TuneSettings(WorkerResources):
    """The `tune` block: the search space, the search algorithm and the length of the search."""

    __pydantic_config__: ClassVar = STRICT

    trials: int
    epochs: int
    concurrent: int = 2
    workers: int = 1
    seed: int = 0
    sampler: Sampler = "optuna"
    scheduler: Scheduler = "asha"
    max_failed: float = 0.5
    space: dict[str, Range | Choices] = field(default_factory=lambda: dict(SPACE))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.trials >= 0, "trials", self.trials, "0 or more")
        require(self.epochs >= 1, "epochs", self.epochs, "1 or more")
        require(self.concurrent >= 1, "concurrent", self.concurrent, "1 or more")
        require(self.workers >= 1, "workers", self.workers, "1 or more")
        require_seed(self.seed)
        require(0 <= self.max_failed <= 1, "max_failed", self.max_failed, "a share from 0 to 1")
        check_space(self.space)
        if self.scheduler == "pbt":
            # A trial may copy the networks of another trial and continue to train them.
            alone = self.sampler == "random" and self.epochs > 1 and self.workers == 1
            got = f"{self.sampler}, {self.epochs} epochs, {self.workers} workers"
            expected = "sampler random, 2 epochs or more and 1 worker for pbt"
            require(alone, "scheduler", got, expected)
            fixed = all(name in MUTABLE or _one_choice(v) for name, v in self.space.items())
            require(fixed, "space", sorted(self.space), f"only {MUTABLE} to vary under pbt")
        if self.sampler == "grid":
            ranges = [name for name, v in self.space.items() if not isinstance(v, Choices)]
            require(not ranges, "space", ranges, "choices for every setting under sampler grid")


@dataclass(frozen=True, kw_only=True)
class TrainBlock(WorkerResources):
    """The `train` block.

    A setting with the value ``sweep`` is taken from the best trial of `tune`. A loss weight with
    the value ``method`` is taken from the method's paper.
    """

    __pydantic_config__: ClassVar = STRICT

    lambda_adv: float | FromElsewhere
    lambda_con: float | FromElsewhere
    lambda_lat: float | FromElsewhere
    latent_dim: int | FromSweep
    epochs: int
    seed: int = 0
    workers: int | WorkerRange = 2
    false_alarm_rate: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in LOSS_NAMES:
            value = getattr(self, name)
            right = value in (FROM_SWEEP, FROM_METHOD) or 0 <= value < float("inf")
            require(right, name, value, "a finite number, 0 or more, sweep, or a lambda's method")
        right = self.latent_dim == FROM_SWEEP or self.latent_dim >= 1
        require(right, "latent_dim", self.latent_dim, "1 or more, or sweep")
        require(self.epochs >= 0, "epochs", self.epochs, "0 or more")
        require_seed(self.seed)
        right = isinstance(self.workers, WorkerRange) or self.workers >= 1
        require(right, "workers", self.workers, "1 or more")
        rate = self.false_alarm_rate
        require(0 < rate < 1, "false_alarm_rate", rate, "a share between 0 and 1")


@dataclass(frozen=True)
class EvaluateSettings:
    """The `evaluate` block: confidence intervals and figures."""

    __pydantic_config__: ClassVar = STRICT

    bootstrap: int = 1000
    tsne_points: int = 1000
    exemplars: int = 6
    normal_colour: str = "#4c78a8"
    abnormal_colour: str = "#e45756"
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.bootstrap >= 1, "bootstrap", self.bootstrap, "1 or more")
        require(self.tsne_points >= 10, "tsne_points", self.tsne_points, "10 or more")
        require(self.exemplars >= 1, "exemplars", self.exemplars, "1 or more")
        require_colour("normal_colour", self.normal_colour)
        require_colour("abnormal_colour", self.abnormal_colour)
        require_seed(self.seed)


@dataclass(frozen=True)
class ScreenSettings:
    """The `screen` block.

    Attributes:
        folder: the new scans.
        false_alarm_rate: the share of normal bags that may raise an alarm.
        annotations: of the folder: none, or in the format that the block `scans` names.
        workers: Ray's workers, of one core each; 0 to screen in the stage's own process.
    """

    __pydantic_config__: ClassVar = STRICT

    folder: str = NO_FOLDER
    false_alarm_rate: float = FALSE_ALARM_RATE
    annotations: Literal["none", "scans"] = "none"
    workers: int = 0

    def __post_init__(self) -> None:
        if self.folder != NO_FOLDER:
            require_place("folder", self.folder)
        rate = self.false_alarm_rate
        require(0 < rate < 1, "false_alarm_rate", rate, "a share, more than 0 and less than 1")
        require(self.workers >= 0, "workers", self.workers, "0 or more")


@dataclass(frozen=True)
class Settings:
    """Every parameter of a run, the preset applied."""

    __pydantic_config__: ClassVar = STRICT

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
        require_place("storage", self.storage)
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
        """Refuse a batch that the workers of `tune` or `train` cannot share."""
        sizes = self.tune.space.get("batch_size")
        for size in sizes.choices if isinstance(sizes, Choices) else [self.model.batch_size]:
            require_divisible(int(size), self.tune.workers)
        workers = self.train.workers
        for count in workers.counts if isinstance(workers, WorkerRange) else [workers]:
            require_divisible(self.model.batch_size, count)

    def _require_sweep(self) -> None:
        """Refuse a training that takes a setting from a sweep that does not run."""
        asking = [name for name in LOSS_NAMES if getattr(self.train, name) == FROM_SWEEP]
        if asking and self.tune.trials == 0:
            expected = f"1 or more, since train.{asking[0]} is sweep: or give that a number"
            require(False, "tune.trials", 0, expected)

    def _require_epochs(self) -> None:
        """Refuse to train a method that has nothing to train, and not to train another one."""
        method, epochs, trials = self.model.method, self.train.epochs, self.tune.trials
        if method not in WITHOUT_NETWORKS:
            require(epochs >= 1, "train.epochs", epochs, "1 or more")
            return
        for name, value in (("tune.trials", trials), ("train.epochs", epochs)):
            expected = f"0, since {method} trains nothing: preset best has its values"
            require(value == 0, name, value, expected)


def reading_settings(scans: ScanSettings) -> dict[str, Any]:
    """Return the parameters of the `scans` block that can change how a scan is read."""
    others = {field.name for field in fields(SplitShares)}
    others |= {"folder", "seed", "count", "group", "bad_input", "parts", "unannotated"}
    return {name: value for name, value in vars(scans).items() if name not in others}


def load_settings(
    params: Path = Path("params.yaml"), presets: Path = Path("presets.yaml")
) -> Settings:
    """Read `params`, fill its nulls from the preset that it names, and validate all parameters.

    Raises:
        InputError: a file is missing or not YAML, or a parameter is unknown, missing or wrong;
            the message names the file and the parameter.
    """
    return make_settings(read_blocks(params), read_blocks(presets), params, presets)


def make_settings(
    given: Mapping[str, Any], available: Mapping[str, Any], params: Path, presets: Path
) -> Settings:
    """Make settings of the content of both files, whose paths are for messages.

    Raises:
        InputError: as in `load_settings`.
    """
    name = given.get("preset")
    if not isinstance(name, str) or name not in available:
        raise InputError(f"{params}: preset: got {name!r}, expected one of {sorted(available)}")
    preset = available[name] if isinstance(available[name], dict) else {}
    if not all(isinstance(block, dict) for block in (available[name], *preset.values())):
        raise InputError(f"{presets}: {name}: expected blocks of parameters, got {available[name]}")
    filled: dict[str, Any] = {**preset, **given}
    for block in preset.keys() & given.keys():
        if isinstance(given[block], dict):
            filled[block] = _fill(given[block], preset[block])
    if isinstance(filled.get("scans"), dict):
        filled["scans"] = _completed_scans(filled["scans"], params)
    faults = FaultFinder(Settings, given, preset, f"{params}: ", f"{presets}: {name}.")
    faults.refuse_booleans(filled)
    try:
        return _settings_type().validate_python(filled)
    except ValidationError as error:
        raise InputError(faults.one_line(error)) from None


@cache
def _settings_type() -> TypeAdapter[Settings]:
    """Return the validator of `Settings`, which takes as long to make as a file to read."""
    return TypeAdapter(Settings)


def _completed_scans(block: Mapping[str, Any], params: Path) -> dict[str, Any]:
    """Return the block `scans` without its old names, and with the default that its source has."""
    scans = _fill(block, {})
    if scans.get("source") == "embedded":
        print(f"{params}: scans.source: embedded is called generated now", file=terminal.err())
        scans["source"] = "generated"
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
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of blocks, got {type(content).__name__}")
    return content


def _fill(block: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block, with each null or missing key taken from the preset."""
    return {
        **preset,
        **{key: value for key, value in block.items() if value is not None},
    }


def _one_choice(values: Range | Choices) -> bool:
    return isinstance(values, Choices) and len(values.choices) == 1
