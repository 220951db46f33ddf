"""The blocks of `params.yaml`: the values that each parameter may have, and its default.

Each block is a plain dataclass; `params.py` reads the file. The block `model`, the window rule, the
split and the search space have modules of their own.
"""

from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from pydantic import Strict

from pipeline.common.errors import require
from pipeline.common.names import FALSE_ALARM_RATE
from pipeline.settings.checks import (
    StrictBlock,
    require_colour,
    require_path_or_uri,
    require_rate,
    require_seed,
)
from pipeline.settings.model import LAMBDAS
from pipeline.settings.resources import WorkerRange, WorkerResources
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
from pipeline.settings.search_space import DEFAULT_SPACE, LOSS_NAMES, Choices, Range, check_space
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

# `scans.folder` of generated scans, and `screen.folder` of none: an existing file, since DVC
# requires that the path exists.
NO_FOLDER = "data/README.md"

# Defaults of `extract.shard_scans` for the modes ``windows`` and ``whole``.
SHARD_SCANS, SHARD_WHOLE_SCANS = 16, 8192


@dataclass(frozen=True, kw_only=True)
class ScanSettings(SplitShares):
    """The `scans` block: which scans, and how they are split."""

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
            expected = (
                "the format of the scans in scans.folder, such as coco; or, for generated scans, "
                f"scans.folder: {NO_FOLDER}"
            )
            require(self.folder == NO_FOLDER, "source", self.source, expected)
        else:
            expected = "the folder of your scans, such as data/raw"
            require(self.folder != NO_FOLDER, "folder", self.folder, expected)
            require_path_or_uri("folder", self.folder)
        require_seed(self.seed)
        check_abnormal_class(self.abnormal_class)
        check_classes(self.classes)
        check_group(self.group)


@dataclass(frozen=True)
class ExtractSettings(WindowRule):
    """The `extract` block: the window rule, and the size of a shard."""

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

    trials: int
    epochs: int
    concurrent: int = 2
    workers: int = 1
    seed: int = 0
    sampler: Sampler = "optuna"
    scheduler: Scheduler = "asha"
    max_failed: float = 0.5
    space: dict[str, Range | Choices] = field(default_factory=lambda: dict(DEFAULT_SPACE))

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
            wrong = [
                name
                for name, v in self.space.items()
                if name not in MUTABLE and not (isinstance(v, Choices) and len(v.choices) == 1)
            ]
            expected = f"one choice for each under pbt, which changes {', '.join(MUTABLE)} alone"
            require(not wrong, "space", wrong, expected)
        if self.sampler == "grid":
            ranges = [name for name, v in self.space.items() if not isinstance(v, Choices)]
            require(not ranges, "space", ranges, "choices for every setting under sampler grid")


@dataclass(frozen=True, kw_only=True)
class TrainBlock(WorkerResources):
    """The `train` block.

    A setting with the value ``sweep`` is taken from the best trial of `tune`. A loss weight with
    the value ``method`` is taken from the method's paper.
    """

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
        for name in LAMBDAS:
            value = getattr(self, name)
            right = value in (FROM_SWEEP, FROM_METHOD) or 0 <= value < float("inf")
            require(right, name, value, "a finite number, 0 or more, sweep or method")
        right = self.latent_dim == FROM_SWEEP or self.latent_dim >= 1
        require(right, "latent_dim", self.latent_dim, "1 or more, or sweep")
        require(self.epochs >= 0, "epochs", self.epochs, "0 or more")
        require_seed(self.seed)
        right = isinstance(self.workers, WorkerRange) or self.workers >= 1
        require(right, "workers", self.workers, "1 or more")
        require_rate("false_alarm_rate", self.false_alarm_rate)

    @property
    def from_sweep(self) -> list[str]:
        """The names of the settings whose value is ``sweep``."""
        return [name for name in LOSS_NAMES if getattr(self, name) == FROM_SWEEP]


@dataclass(frozen=True)
class EvaluateSettings(StrictBlock):
    """The `evaluate` block: confidence intervals and figures."""

    bootstrap: int = 1000
    tsne_points: int = 1000
    exemplars: int = 6
    normal_colour: str = "#4c78a8"
    abnormal_colour: str = "#e45756"
    seed: int = 0

    def __post_init__(self) -> None:
        # More would take the memory or the days of a stage that comes after the training.
        for name, least, most in (
            ("bootstrap", 1, 100_000),
            ("tsne_points", 10, 100_000),
            ("exemplars", 1, 50),
        ):
            value = getattr(self, name)
            require(least <= value <= most, name, value, f"{least} to {most}")
        require_colour("normal_colour", self.normal_colour)
        require_colour("abnormal_colour", self.abnormal_colour)
        require_seed(self.seed)


@dataclass(frozen=True)
class ScreenSettings(StrictBlock):
    """The `screen` block.

    Attributes:
        folder: the new scans.
        false_alarm_rate: the share of normal bags that may raise an alarm.
        annotations: of the folder: none, or in the format that the block `scans` names.
        workers: Ray's workers, of one core each; 0 to screen in the stage's own process.
    """

    folder: str = NO_FOLDER
    false_alarm_rate: float = FALSE_ALARM_RATE
    annotations: Literal["none", "scans"] = "none"
    workers: int = 0

    def __post_init__(self) -> None:
        if self.folder != NO_FOLDER:
            require_path_or_uri("folder", self.folder)
        require_rate("false_alarm_rate", self.false_alarm_rate)
        require(self.workers >= 0, "workers", self.workers, "0 or more")
