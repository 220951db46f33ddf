"""Which scan goes where, decided by whole scan before anything is cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from pipeline.bags import Bag, make_bags
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


def split_scans(
    entries: Sequence[ScanEntry], shares: SplitShares, seed: int, bags: Mapping[str, str]
) -> dict[str, str]:
    """Give every scan one split: a dict from scan id to split name.

    Scans that `bags` gives the same name, by their ids, stay together; a scan that it does not
    name is a bag by itself. Abnormal bags never train. Classes are spread evenly: each combination
    of classes is shared out by itself. A set's official parts are kept where it has them.

    Raises:
        InputError: no normal scan is left to train or to validate on, or two scans share an id.
    """
    _refuse_repeated_ids(entries)
    strata: dict[tuple[str, ...], list[Bag]] = {}
    for bag in make_bags(entries, bags):
        strata.setdefault(bag.classes, []).append(bag)
    splits: dict[str, str] = {}
    for classes, members in strata.items():
        # By hash, not by a permutation: a scan that is added then leaves the others in their order,
        # so at most one of them passes each border between two splits.
        shuffled = sorted(members, key=lambda bag: sha256(f"{seed}/{bag.key}".encode()).digest())
        splits |= _split_abnormal(shuffled, shares) if classes else _split_normal(shuffled, shares)
    _require_normals(splits)
    return splits


def _split_normal(bags: Sequence[Bag], shares: SplitShares) -> dict[str, str]:
    testing, learning = _official_parts(bags) or _divide(bags, shares.test_normal)
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


def _split_abnormal(bags: Sequence[Bag], shares: SplitShares) -> dict[str, str]:
    labelled, test = _divide(bags, shares.labelled_validation)
    return _assign({LABELLED_VALIDATION: labelled, TEST: test})


def _official_parts(bags: Sequence[Bag]) -> tuple[Sequence[Bag], Sequence[Bag]] | None:
    """The bags of the test and of the training part; None where the set has no parts.

    A bag with a scan in either part is for the test.
    """
    if not any(scan.part for bag in bags for scan in bag.scans):
        return None
    tested = [any(scan.part == "test" for scan in bag.scans) for bag in bags]
    testing = [bag for bag, is_tested in zip(bags, tested, strict=True) if is_tested]
    learning = [bag for bag, is_tested in zip(bags, tested, strict=True) if not is_tested]
    return testing, learning


def _divide(bags: Sequence[Bag], share: float) -> tuple[Sequence[Bag], Sequence[Bag]]:
    """The first bags, with a `share` of the scans as nearly as bags allow, and the others."""
    counts = np.cumsum([0, *(len(bag.scans) for bag in bags)])
    wanted = round(share * int(counts[-1]))
    first = int(np.abs(counts - wanted).argmin())
    return bags[:first], bags[first:]


def _assign(groups: dict[str, Sequence[Bag]]) -> dict[str, str]:
    return {
        scan.scan_id: split for split, bags in groups.items() for bag in bags for scan in bag.scans
    }


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
