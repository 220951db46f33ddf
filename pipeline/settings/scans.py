"""Settings for bags, bad input and splits of scans."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from pipeline.common.errors import require
from pipeline.common.names import IGNORED, NORMAL
from pipeline.settings.checks import StrictBlock

BadInputRule = Literal["fail", "skip"]

# Classes of CIFAR-10, in the order of the official labels, with the names of the paper's Table I.
CIFAR10 = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_ALIASES = {"airplane": "plane", "automobile": "car"}

IGNORE = "ignore"  # the meaning of a class whose objects are neither normal nor threats
# Labels of windows, and names of the tables: a class of this name would be taken for them.
RESERVED = (
    IGNORED, "grazing", "overall", "background", "classes", "scans", "shards", "skipped"
)  # fmt: skip

Unannotated = Literal["normal", "bad"]  # how an image without any annotation counts


@dataclass(frozen=True)
class BagColumn(StrictBlock):
    """The table and the columns that give the bag of each scan.

    Attributes:
        table: a CSV file with a header, below the folder of the scans.
        scan: the column with the scans' ids or files; the end of a path is enough.
        bag: the column with the bags' names.
    """

    table: str
    scan: str
    bag: str

    def __post_init__(self) -> None:
        parts = PurePath(self.table).parts
        right = bool(parts) and ".." not in parts and not PurePath(self.table).is_absolute()
        require(right, "table", self.table, "a file below scans.folder, which DVC watches")


def check_group(group: str | BagColumn | None) -> None:
    """Raise an `InputError` for a `group` that is not a valid regular expression, or is empty."""
    if isinstance(group, str):
        expected = "a regular expression, a column, or null"
        require(bool(group.strip()), "group", group, expected)
        try:
            re.compile(group)
        except re.error:
            require(False, "group", group, expected)


def check_classes(classes: Mapping[str | int, str]) -> None:
    """Raise an `InputError` for a class that is named twice, or that has no usable meaning."""
    names = [str(name) for name in classes]
    require(len(set(names)) == len(names), "classes", dict(classes), "each class once")
    for name, meaning in classes.items():
        plain = meaning.strip().casefold()
        right = bool(plain) and (plain not in (NORMAL, IGNORE, IGNORED) or meaning == plain)
        require(right, f"classes.{name}", meaning, "normal, ignore or an abnormal class")
        expected = f"another name: the tables use {', '.join(RESERVED)} for other things"
        require(meaning not in RESERVED, f"classes.{name}", meaning, expected)


def check_abnormal_class(name: str) -> None:
    """Raise an `InputError` for a name that is no class of CIFAR-10."""
    right = CIFAR10_ALIASES.get(name, name) in CIFAR10
    require(right, "abnormal_class", name, f"one of {', '.join(CIFAR10)}")


NormalWindows = Literal["bags", "outside"]

Parts = Literal["own", "shares"] | None


@dataclass(frozen=True)
class SplitShares(StrictBlock):
    """Shares of the scans, each from 0 to below 1.

    Attributes:
        validation: share of the normal scans outside the test split.
        test_normal: share of the normal scans, for sets that have no official test part.
        labelled_validation: share of the abnormal scans, and of the test's normal scans.
        labelled_training: share of the abnormal scans, taken before all other shares.
        normal_windows: source of the training windows: ``bags`` without any threat; or ``outside``:
            all bags, but only windows that touch no threat. With ``outside`` the first two
            shares are of all scans, not only of normal scans.
    """

    validation: float = 0.15
    test_normal: float = 0.25
    labelled_validation: float = 0.0
    labelled_training: float = 0.0
    normal_windows: NormalWindows = field(default="bags", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("validation", "test_normal", "labelled_validation", "labelled_training"):
            value = getattr(self, name)
            require(0 <= value < 1, name, value, "a share from 0 to below 1")
        require(self.validation > 0, "validation", self.validation, "more than 0")

    @property
    def uses_labels(self) -> bool:
        """Whether labels select the training windows: training is then not unsupervised."""
        return self.normal_windows == "outside"
