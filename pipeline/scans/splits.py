"""Assigns whole scans to splits, before any window is cut."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from pipeline.common.errors import InputError
from pipeline.common.names import LABELLED_TRAINING, LABELLED_VALIDATION, TEST, TRAIN, VALIDATION
from pipeline.scans.bags import Bag, make_bags
from pipeline.scans.scan import ScanEntry
from pipeline.settings.scans import Parts, SplitShares

LABELS_USED = (
    "bags with threats also give training windows, outside of the threats: labels were used "
    "(scans.normal_windows)"
)


def with_parts(entries: Sequence[ScanEntry], parts: Parts, *, keep: bool) -> list[ScanEntry]:
    """Return the entries, with their own parts if `keep` and the set has a test part, or without.

    Raises:
        InputError: `scans.parts` is ``own``, but the set has no parts of its own.
    """
    if parts == "own" and all(entry.part is None for entry in entries):
        raise InputError(
            "scans.parts: got 'own', but no folder or list of the set is called train, val or test"
        )
    usable = parts == "own" or any(entry.part == "test" for entry in entries)
    if keep and usable:
        return list(entries)
    return [replace(entry, part=None) for entry in entries]


def describe_parts(
    entries: Sequence[ScanEntry], shares: SplitShares, splits: Mapping[str, str], *, kept: bool
) -> list[str]:
    """Return lines about the set's own parts, and a line if labels select training windows."""
    counts = Counter(entry.part for entry in entries if entry.part)
    by_part = ", ".join(f"{part} {count}" for part, count in sorted(counts.items()))
    fate = "kept as the splits" if kept else "not used: to use them, set scans.parts to own"
    if not counts["test"]:
        fate = "not used: the set has no test part"
    moved = sum(
        splits.get(entry.scan_id) == TEST != entry.part for entry in entries if entry.part and kept
    )
    return [
        *([f"the set's own parts: {by_part}: {fate}"] if counts else []),
        *([f"{moved} scans moved to the test, with others of their bags"] if moved else []),
        *([LABELS_USED] if shares.uses_labels else []),
    ]


def split_scans(
    entries: Sequence[ScanEntry], shares: SplitShares, seed: int, bags: Mapping[str, str]
) -> dict[str, str]:
    """Assign each scan to a split; returns a dict from scan id to split name.

    `bags` maps scan ids to bag names. Scans of one bag stay together; a scan without a bag is a bag
    by itself. Bags with a threat never train, except under `normal_windows` ``outside``. Each
    combination of classes is split separately, so that classes are spread evenly.

    The share `labelled_training` of the bags with a threat is taken first, and the other bags are
    split as if there were no such share.

    If the entries have parts, the set's own test part is the test split. Abnormal scans of other
    parts are left out, except the shares `labelled_training` and `labelled_validation`; if the
    other parts have no abnormal scan, these shares are taken from the test part.

    Raises:
        InputError: no normal scan is left to train or to validate on, two scans share an id,
            only some scans have a part, or no scan is in the test part.
    """
    _refuse_repeated_ids(entries)
    own = _own_parts(entries, shares)
    strata: dict[tuple[str, ...], list[Bag]] = {}
    for bag in make_bags(entries, bags):
        strata.setdefault(bag.classes, []).append(bag)
    splits: dict[str, str] = {}
    for classes, members in strata.items():
        # Sorted by hash, not permuted: a new scan leaves the order of the others as it was, so at
        # most one other scan crosses each border between two splits.
        shuffled = sorted(members, key=lambda bag: sha256(f"{seed}/{bag.key}".encode()).digest())
        may_teach = [bag for bag in shuffled if own is None or own.may_teach(bag)]
        teaching, rest = _divide(may_teach, shares.labelled_training if classes else 0)
        others = [*rest, *(bag for bag in shuffled if own and not own.may_teach(bag))]
        learns = not classes or shares.uses_labels
        splits |= _assign({LABELLED_TRAINING: teaching})
        splits |= (
            own.split(others, shares, learns=learns)
            if own
            else _split_by_shares(others, shares, learns=learns)
        )
    _require_normals(
        splits, normal=shares.uses_labels or any(not entry.classes for entry in entries)
    )
    return splits


def _split_by_shares(bags: Sequence[Bag], shares: SplitShares, *, learns: bool) -> dict[str, str]:
    """Split the bags of one combination of classes by the shares."""
    testing, rest = _divide(bags, shares.test_normal if learns else 1)
    validation, learning = _divide(rest, shares.validation)
    labelled, test = _divide(testing, shares.labelled_validation)
    return _assign(
        {TRAIN: learning, VALIDATION: validation, LABELLED_VALIDATION: labelled, TEST: test}
    )


@dataclass(frozen=True)
class _OwnParts:
    """The rule by which a set's own parts become splits.

    Attributes:
        validation: whether the set has a validation part; if not, some training scans validate.
        abnormal: whether other parts than test have abnormal scans.
        labelled: whether a sweep may use these.
    """

    validation: bool
    abnormal: bool
    labelled: bool

    def may_teach(self, bag: Bag) -> bool:
        """Return whether a bag with a threat may go to `LABELLED_TRAINING`."""
        return (_part_of(bag) != TEST) == self.abnormal

    def split(self, bags: Sequence[Bag], shares: SplitShares, *, learns: bool) -> dict[str, str]:
        """Split the bags of one combination of classes by their parts."""
        learning, validation, testing = (
            [bag for bag in bags if _part_of(bag) == split] for split in (TRAIN, VALIDATION, TEST)
        )
        labelled: Sequence[Bag] = []
        if not learns:
            labelled, _ = _divide([*learning, *validation], shares.labelled_validation)
            learning, validation = [], []
        if learns and not self.validation:
            validation, learning = map(list, _divide(learning, shares.validation))
        if learns and self.labelled:
            labelled, validation = map(list, _divide(validation, shares.labelled_validation))
        if not self.labelled:
            labelled, testing = map(list, _divide(testing, shares.labelled_validation))
        return _assign(
            {TRAIN: learning, VALIDATION: validation, LABELLED_VALIDATION: labelled, TEST: testing}
        )


def _own_parts(entries: Sequence[ScanEntry], shares: SplitShares) -> _OwnParts | None:
    """Return the rule for the set's own parts; None if no scan has a part."""
    without = [entry.scan_id for entry in entries if entry.part is None]
    if len(without) == len(entries):
        return None
    counts = Counter(entry.part for entry in entries if entry.part)
    by_part = ", ".join(f"{part} {count}" for part, count in sorted(counts.items()))
    if without:
        raise InputError(
            f"scans.parts: {len(without)} scans are in no part of the set, such as "
            f"{without[0]!r}, beside {by_part}: name their part, or set scans.parts to shares"
        )
    if not counts["test"]:
        raise InputError(
            f"scans.parts: the set has no test part of its own, but {by_part}: call one of "
            "them test, or set scans.parts to shares"
        )
    abnormal = any(entry.classes and entry.part != "test" for entry in entries)
    return _OwnParts(bool(counts["validation"]), abnormal, abnormal and not shares.uses_labels)


def _part_of(bag: Bag) -> str:
    """Return the split of a bag's part; a bag in several parts goes to test, or else validation."""
    parts = {scan.part for scan in bag.scans}
    return next(split for split in (TEST, VALIDATION, TRAIN) if split in parts)


def _divide(bags: Sequence[Bag], share: float) -> tuple[Sequence[Bag], Sequence[Bag]]:
    """Divide bags in two: the first bags, with about a `share` of the scans, and the other bags."""
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


def _require_normals(splits: Mapping[str, str], *, normal: bool) -> None:
    """Refuse splits without training or validation scans; `normal`: whether any scan is normal."""
    for split in (TRAIN, VALIDATION):
        if split not in splits.values():
            advice = (
                "add some, or lower scans.test_normal or scans.validation"
                if normal
                else "add some, or set scans.normal_windows to outside, which uses labels"
            )
            raise InputError(
                f"no normal scan for {split}: SkipScan learns from normal scans only; {advice}"
            )
