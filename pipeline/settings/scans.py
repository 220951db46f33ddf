"""Settings for bags, bad input and splits of scans."""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pipeline.common.errors import require

BadInputRule = Literal["fail", "skip"]

Unannotated = Literal["normal", "bad"]  # how an image without any annotation counts


@dataclass(frozen=True)
class BagColumn:
    """The table and the columns that give the bag of each scan.

    Attributes:
        table: a CSV file with a header, below the folder of the scans.
        scan: the column with the scans' ids or files; the end of a path is enough.
        bag: the column with the bags' names.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    table: str
    scan: str
    bag: str


def check_group(group: str | BagColumn | None) -> None:
    """Raise an `InputError` for a `group` that is not a valid regular expression."""
    if isinstance(group, str):
        try:
            re.compile(group)
        except re.error:
            require(False, "group", group, "a regular expression, a column, or null")


NormalWindows = Literal["bags", "outside"]

Parts = Literal["own", "shares"] | None


@dataclass(frozen=True)
class SplitShares:
    """Shares of the scans, each from 0 to below 1.

    Attributes:
        validation: share of the normal scans outside the test split.
        test_normal: share of the normal scans, for sets that have no official test part.
        labelled_validation: share of the abnormal scans, and of the test's normal scans.
        normal_windows: source of the training windows: ``bags`` without any threat; or ``outside``:
            all bags, but only windows that touch no threat. With ``outside`` the first two
            shares are of all scans, not only of normal scans.
    """

    validation: float
    test_normal: float
    labelled_validation: float
    normal_windows: NormalWindows = field(default="bags", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("validation", "test_normal", "labelled_validation"):
            value = getattr(self, name)
            require(0 <= value < 1, name, value, "a share from 0 to below 1")
        require(self.validation > 0, "validation", self.validation, "more than 0")

    @property
    def uses_labels(self) -> bool:
        """Whether labels select the training windows: training is then not unsupervised."""
        return self.normal_windows == "outside"
