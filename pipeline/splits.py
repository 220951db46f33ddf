"""Which scan goes where, decided by whole scan before anything is cut."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError, require
from pipeline.sources.base import ScanEntry

TRAIN = "train"  # normal scans only
VALIDATION = "validation"  # normal scans only: best epoch, score bounds, threshold
LABELLED_VALIDATION = "labelled_validation"  # normal and abnormal: a sweep's objective
TEST = "test"  # normal and abnormal: looked at once, by evaluation
SPLITS = (TRAIN, VALIDATION, LABELLED_VALIDATION, TEST)


@dataclass(frozen=True)
class SplitShares:
    """Shares of the scans, each from 0 to below 1.

    Attributes:
        validation: of the normal scans that are not for the test.
        test_normal: of the normal scans, for sets that have no official test part.
        labelled_validation: of the abnormal scans, and of the test's normal scans.
    """

    validation: float
    test_normal: float
    labelled_validation: float

    def __post_init__(self) -> None:
        for name in ("validation", "test_normal", "labelled_validation"):
            value = getattr(self, name)
            require(0 <= value < 1, name, value, "a share from 0 to below 1")
        require(self.validation > 0, "validation", self.validation, "more than 0")


def split_scans(entries: Sequence[ScanEntry], shares: SplitShares, seed: int) -> dict[str, str]:
    """Give every scan one split: a dict from scan id to split name.

    Abnormal scans never train. Classes are spread evenly: each combination of classes is shared
    out by itself. A set's official parts are kept where it has them.

    Raises:
        InputError: no normal scan is left to train or to validate on, or two scans share an id.
    """
    _refuse_repeated_ids(entries)
    strata: dict[tuple[str, ...], list[ScanEntry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.scan_id):
        strata.setdefault(entry.classes, []).append(entry)
    splits: dict[str, str] = {}
    for index, classes in enumerate(sorted(strata)):
        generator = np.random.default_rng([seed, index])
        shuffled = [strata[classes][i] for i in generator.permutation(len(strata[classes]))]
        splits |= _split_abnormal(shuffled, shares) if classes else _split_normal(shuffled, shares)
    _require_normals(splits)
    return splits


def _split_normal(entries: Sequence[ScanEntry], shares: SplitShares) -> dict[str, str]:
    testing, learning = _official_parts(entries) or _divide(entries, shares.test_normal)
    validation, train = _divide(learning, shares.validation)
    labelled, test = _divide(testing, shares.labelled_validation)
    return _assign(
        {
            TRAIN: train,
            VALIDATION: validation,
            LABELLED_VALIDATION: labelled,
            TEST: test,
        }
    )


def _split_abnormal(entries: Sequence[ScanEntry], shares: SplitShares) -> dict[str, str]:
    labelled, test = _divide(entries, shares.labelled_validation)
    return _assign({LABELLED_VALIDATION: labelled, TEST: test})


def _official_parts(
    entries: Sequence[ScanEntry],
) -> tuple[Sequence[ScanEntry], Sequence[ScanEntry]] | None:
    """The entries of the test and of the training part; None where the set has no parts."""
    if not any(entry.part for entry in entries):
        return None
    testing = [entry for entry in entries if entry.part == "test"]
    return testing, [entry for entry in entries if entry.part == "train"]


def _divide(
    entries: Sequence[ScanEntry], share: float
) -> tuple[Sequence[ScanEntry], Sequence[ScanEntry]]:
    """The first `share` of the entries, rounded, and the others."""
    first = round(share * len(entries))
    return entries[:first], entries[first:]


def _assign(groups: dict[str, Sequence[ScanEntry]]) -> dict[str, str]:
    return {entry.scan_id: split for split, group in groups.items() for entry in group}


def _refuse_repeated_ids(entries: Sequence[ScanEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.scan_id in seen:
            raise InputError(f"scan id {entry.scan_id!r} stands for two scans: rename one of them")
        seen.add(entry.scan_id)


def _require_normals(splits: dict[str, str]) -> None:
    for split in (TRAIN, VALIDATION):
        if split not in splits.values():
            raise InputError(
                f"no normal scan for {split}: SkipScan learns from normal scans only; "
                "add some, or lower scans.test_normal or scans.validation"
            )
