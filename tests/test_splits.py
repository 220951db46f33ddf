from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import InputError
from pipeline.common.names import (
    LABELLED_TRAINING,
    LABELLED_VALIDATION,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
)
from pipeline.patches.store import PatchStore
from pipeline.scans.bags import bag_names, make_bags
from pipeline.scans.scan import Part, ScanEntry
from pipeline.scans.sources.cifar10 import PARTS
from pipeline.scans.splits import LABELS_USED, describe_parts, split_scans, with_parts
from pipeline.settings.scans import NormalWindows
from tests.tiny import SHARES


def entries_of(normal: int, abnormal: int) -> list[ScanEntry]:
    return [
        *(ScanEntry(f"n{number}", (), ()) for number in range(normal)),
        *(
            ScanEntry(f"a{number}", (), (("gun", "knife")[number % 2],))
            for number in range(abnormal)
        ),
    ]


@given(normal=st.integers(8, 80), abnormal=st.integers(0, 30), seed=st.integers(0, 999))
def test_every_scan_has_one_split_and_abnormal_ones_never_train(
    normal: int, abnormal: int, seed: int
) -> None:
    entries = entries_of(normal, abnormal)
    splits = split_scans(entries, SHARES, seed, {})
    assert splits.keys() == {entry.scan_id for entry in entries}
    for entry in entries:
        allowed = (LABELLED_VALIDATION, TEST) if entry.classes else SPLITS
        assert splits[entry.scan_id] in allowed


def test_shares_are_kept_in_every_class() -> None:
    splits = split_scans(entries_of(40, 20), SHARES, 0, {})
    counts = [list(splits.values()).count(split) for split in (TRAIN, VALIDATION, TEST)]
    assert counts == [22, 8, 7 + 14]
    for parity in (0, 1):
        labelled = [splits[f"a{number}"] for number in range(parity, 20, 2)]
        assert labelled.count(LABELLED_VALIDATION) == 3


def test_shares_are_kept_in_every_combination_of_classes() -> None:
    kinds = ((), ("gun",), ("gun", "knife"))
    entries = [ScanEntry(f"{kind}{n}", (), kind) for kind in kinds for n in range(10)]
    for seed in range(5):
        splits = split_scans(entries, SHARES, seed, {})
        for kind in kinds[1:]:
            found = [splits[f"{kind}{n}"] for n in range(10)]
            assert (found.count(LABELLED_VALIDATION), found.count(TEST)) == (3, 7)


def test_the_order_of_the_scans_does_not_matter_and_the_seed_does() -> None:
    entries = entries_of(30, 10)
    assert split_scans(entries, SHARES, 1, {}) == split_scans(entries[::-1], SHARES, 1, {})
    assert split_scans(entries, SHARES, 1, {}) != split_scans(entries, SHARES, 2, {})


@given(normal=st.integers(8, 60), abnormal=st.integers(0, 20), seed=st.integers(0, 999))
def test_a_scan_that_is_added_moves_three_others_at_most(
    normal: int, abnormal: int, seed: int
) -> None:
    entries = entries_of(normal, abnormal)
    before = split_scans(entries, SHARES, seed, {})
    for classes in ((), ("gun",)):
        after = split_scans([*entries, ScanEntry("added", (), classes)], SHARES, seed, {})
        assert sum(after[scan_id] != split for scan_id, split in before.items()) <= 3


def test_official_parts_are_kept() -> None:
    entries = [
        ScanEntry(f"{part}{number}", (), (), part)
        for part in ("train", "test")
        for number in range(20)
    ]
    splits = split_scans(entries, SHARES, 0, {})
    for scan_id, split in splits.items():
        learning = split in (TRAIN, VALIDATION)
        assert learning == scan_id.startswith("train")


def test_no_scan_has_patches_in_two_splits(patches: Path) -> None:
    seen: dict[str, str] = {}
    for split in SPLITS:
        for scan_id in set(PatchStore(patches, split).scan_ids.tolist()):
            assert seen.setdefault(scan_id, split) == split
    assert len(seen) == 18


def test_training_and_validation_patches_are_normal(patches: Path) -> None:
    for split in (TRAIN, VALIDATION):
        assert PatchStore(patches, split).is_normal().all()


def test_no_normal_scan_is_refused() -> None:
    advice = r"only; add some, or set scans\.normal_windows to outside, which uses labels$"
    with pytest.raises(InputError, match=rf"^no normal scan for train: .* {advice}"):
        split_scans(entries_of(0, 5), SHARES, 0, {})
    advice = r"only; add some, or lower scans\.test_normal or scans\.validation$"
    with pytest.raises(InputError, match=rf"^no normal scan for validation: .* {advice}"):
        split_scans(entries_of(1, 5), replace(SHARES, test_normal=0), 0, {})


def test_no_advice_to_do_what_is_done() -> None:
    shares = replace(SHARES, normal_windows="outside", test_normal=0)
    advice = r"only; add some, or lower scans\.test_normal or scans\.validation$"
    with pytest.raises(InputError, match=rf"^no normal scan for (train|validation): .* {advice}"):
        split_scans(entries_of(0, 1), shares, 0, {})


def test_repeated_ids_are_refused() -> None:
    with pytest.raises(InputError, match="'n0' stands for two scans"):
        split_scans([*entries_of(5, 0), ScanEntry("n0", (), ())], SHARES, 0, {})


def by_bag(entries: list[ScanEntry]) -> dict[str, str]:
    return bag_names(entries, r"^(bag\d+)-", Path())


@st.composite
def bags_of_views(draw: st.DrawFn) -> list[ScanEntry]:
    """Bags of 1 to 4 views, in no order. Any view may show a threat, but for the first 12 bags'."""
    views = [
        ScanEntry(
            f"bag{bag:02d}-view{view}", (), ("gun",) if bag >= 12 and draw(st.booleans()) else ()
        )
        for bag in range(draw(st.integers(20, 40)))
        for view in range(draw(st.integers(1, 4)))
    ]
    return draw(st.permutations(views))


@given(entries=bags_of_views(), seed=st.integers(0, 99))
def test_no_bag_is_in_two_splits_and_no_view_of_an_abnormal_one_trains(
    entries: list[ScanEntry], seed: int
) -> None:
    splits = split_scans(entries, SHARES, seed, by_bag(entries))
    assert splits.keys() == {entry.scan_id for entry in entries}
    assert splits == split_scans(entries[::-1], SHARES, seed, by_bag(entries))
    for bag in make_bags(entries, by_bag(entries)):
        (split,) = {splits[scan.scan_id] for scan in bag.scans}
        assert split in ((LABELLED_VALIDATION, TEST) if bag.classes else SPLITS)


@pytest.mark.slow
@given(entries=bags_of_views(), seed=st.integers(0, 99))
def test_shares_of_bags_are_kept_as_nearly_as_bags_allow(
    entries: list[ScanEntry], seed: int
) -> None:
    splits = split_scans(entries, SHARES, seed, by_bag(entries))
    for abnormal in (False, True):
        bags = [bag for bag in make_bags(entries, by_bag(entries)) if bool(bag.classes) == abnormal]
        found = [splits[scan.scan_id] for bag in bags for scan in bag.scans]
        tested = sum(split in (LABELLED_VALIDATION, TEST) for split in found)
        wanted = len(found) if abnormal else SHARES.test_normal * len(found)
        assert abs(tested - wanted) <= 2.5  # half of the largest bag, and half for rounding
        labelled = found.count(LABELLED_VALIDATION)
        assert abs(labelled - SHARES.labelled_validation * tested) <= 2.5


def test_a_bag_with_a_scan_in_either_part_is_for_the_test() -> None:
    entries = [
        ScanEntry(f"{part}/bag{number}-a", (), (), part)
        for part, numbers in zip(PARTS, (range(20), range(19, 39)), strict=True)
        for number in numbers
    ]
    splits = split_scans(entries, SHARES, 0, bag_names(entries, r"bag\d+", Path()))
    assert splits["train/bag19-a"] == splits["test/bag19-a"]
    assert splits["train/bag19-a"] in (LABELLED_VALIDATION, TEST)


@settings(max_examples=60)
@given(
    data=st.data(),
    seed=st.integers(0, 99),
    has_parts=st.booleans(),
    normal_windows=st.sampled_from(["bags", "outside"]),
)
def test_no_bag_of_any_grouping_is_in_two_splits(
    data: st.DataObject, seed: int, has_parts: bool, normal_windows: NormalWindows
) -> None:
    """Bags are of any scans of any parts and classes, and may have the id of a scan for a name."""
    parts: list[Part] = ["train", "validation", "test"]
    entries = [ScanEntry(f"n{number}", (), (), parts[number % 3]) for number in range(24)]
    classes = st.sampled_from([(), ("gun",), ("knife",), ("gun", "knife")])
    others = data.draw(st.lists(st.tuples(classes, st.sampled_from(parts)), max_size=30))
    grouped = [f"s{number}" for number in range(len(others))]
    entries += [ScanEntry(name, (), *kind) for name, kind in zip(grouped, others, strict=True)]
    if not has_parts:
        entries = [replace(entry, part=None) for entry in entries]
    names = st.sampled_from(["x", "y", "z", "n0", *grouped])
    bags = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(grouped, names)))
    splits = split_scans(entries, replace(SHARES, normal_windows=normal_windows), seed, bags)
    split_of: dict[str, set[str | None]] = {name: set() for name in bags.values()}
    for scan_id, name in bags.items():
        split_of[name].add(splits.get(scan_id))  # None where the whole bag is left out
    assert all(len(found) == 1 for found in split_of.values())
    assert set(splits) == {entry.scan_id for entry in entries} or has_parts


@given(entries=bags_of_views(), seed=st.integers(0, 99))
def test_where_windows_outside_of_threats_train_every_bag_is_shared_out_alike(
    entries: list[ScanEntry], seed: int
) -> None:
    shares = replace(SHARES, normal_windows="outside")
    splits = split_scans(entries, shares, seed, by_bag(entries))
    for bag in make_bags(entries, by_bag(entries)):
        assert len({splits[scan.scan_id] for scan in bag.scans}) == 1
    for abnormal in (False, True):
        bags = [bag for bag in make_bags(entries, by_bag(entries)) if bool(bag.classes) == abnormal]
        found = [splits[scan.scan_id] for bag in bags for scan in bag.scans]
        tested = sum(split in (LABELLED_VALIDATION, TEST) for split in found)
        assert abs(tested - SHARES.test_normal * len(found)) <= 2.5


def in_parts(**counts: tuple[int, int]) -> list[ScanEntry]:
    """Entries by part: so many normal ones, and so many abnormal ones."""
    return [
        ScanEntry(f"{part}-{kind}{number}", (), classes, part)  # type: ignore[arg-type]
        for part, pair in counts.items()
        for (kind, classes), count in zip((("n", ()), ("a", ("gun",))), pair, strict=True)
        for number in range(count)
    ]


def test_own_parts_without_validation_hold_some_of_the_training_scans_back() -> None:
    splits = split_scans(in_parts(train=(20, 0), test=(5, 5)), SHARES, 0, {})
    found = [split for scan, split in splits.items() if scan.startswith("train")]
    assert (found.count(TRAIN), found.count(VALIDATION)) == (15, 5)


def test_own_parts_where_windows_outside_of_threats_train() -> None:
    entries = in_parts(train=(0, 6), validation=(0, 3), test=(0, 4))
    shares = replace(SHARES, normal_windows="outside", labelled_validation=0)
    splits = split_scans(entries, shares, 0, {})
    assert splits == {entry.scan_id: entry.part for entry in entries}


SHARE_NAMES = ["validation", "test_normal", "labelled_validation", "labelled_training"]


@pytest.mark.parametrize("name", SHARE_NAMES)
@pytest.mark.parametrize("value", [-0.1, 1])
def test_a_share_out_of_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"^{name}: got {value}, expected a share from 0 to bel"):
        replace(SHARES, **{name: value})  # type: ignore[arg-type]


def test_some_scans_must_validate_and_the_other_shares_may_be_nothing() -> None:
    with pytest.raises(InputError, match=r"^validation: got 0, expected more than 0"):
        replace(SHARES, validation=0)
    shares = replace(SHARES, test_normal=0, labelled_validation=0)
    splits = split_scans(entries_of(8, 2), shares, 0, {})
    assert Counter(splits.values()) == {TRAIN: 6, VALIDATION: 2, TEST: 2}
    assert not shares.uses_labels
    assert replace(SHARES, normal_windows="outside").uses_labels


def test_a_set_s_own_parts_are_kept_or_left_as_asked() -> None:
    entries = in_parts(train=(2, 1), test=(1, 2))
    assert with_parts(entries, None, keep=True) == entries
    assert with_parts(entries, "own", keep=True) == entries
    left = with_parts(entries, "shares", keep=False)
    assert left == [replace(entry, part=None) for entry in entries]
    assert with_parts(left, "shares", keep=True) == with_parts(left, None, keep=True) == left
    with pytest.raises(InputError, match=r"^scans\.parts: got 'own', but no folder or list of th"):
        with_parts(left, "own", keep=True)
    some = [entries[0], *left[1:]]
    assert with_parts(some, "own", keep=True) == some


def test_the_parts_and_the_use_of_labels_are_told() -> None:
    entries = in_parts(train=(2, 1), test=(1, 3))
    outside = replace(SHARES, normal_windows="outside")
    assert describe_parts(entries, SHARES, {}, kept=True) == [
        "the set's own parts: test 4, train 3: kept as the splits"
    ]
    splits = dict.fromkeys(("train-n0", "train-a0", "test-n0"), TEST) | {"train-n1": TRAIN}
    assert describe_parts(entries, outside, splits, kept=False) == [
        "the set's own parts: test 4, train 3: not used: to use them, set scans.parts to own",
        LABELS_USED,
    ]
    assert describe_parts(entries, SHARES, splits, kept=True)[1:] == [
        "2 scans moved to the test, with others of their bags"
    ]
    assert describe_parts(in_parts(train=(2, 0)), SHARES, {}, kept=False) == [
        "the set's own parts: train 2: not used: the set has no test part"
    ]
    without = with_parts(entries, None, keep=False)
    assert describe_parts(without, SHARES, splits, kept=True) == []
    assert describe_parts(without, outside, {}, kept=True) == [LABELS_USED]


def counts_by_part(splits: dict[str, str]) -> dict[str, dict[str, int]]:
    """How many scans of each part and kind went to each split."""
    found: dict[str, Counter[str]] = {}
    for scan, split in splits.items():
        found.setdefault(scan.rstrip("0123456789"), Counter())[split] += 1
    return {name: dict(counter) for name, counter in found.items()}


def test_own_parts_with_abnormal_scans_beside_the_test_leave_them_out_but_for_the_sweep() -> None:
    entries = in_parts(train=(20, 10), validation=(10, 10), test=(8, 8))
    found = counts_by_part(split_scans(entries, SHARES, 0, {}))
    others = [found.pop(f"{part}-a", {}) for part in ("train", "validation")]
    assert sum((Counter(other) for other in others), Counter()) == {LABELLED_VALIDATION: 6}
    assert found == {
        "train-n": {TRAIN: 20},
        "validation-n": {VALIDATION: 7, LABELLED_VALIDATION: 3},
        "test-n": {TEST: 8},
        "test-a": {TEST: 8},
    }


def test_own_parts_with_normals_alone_beside_the_test_let_the_sweep_see_some_of_the_test() -> None:
    entries = in_parts(train=(20, 0), validation=(10, 0), test=(10, 20))
    assert counts_by_part(split_scans(entries, SHARES, 0, {})) == {
        "train-n": {TRAIN: 20},
        "validation-n": {VALIDATION: 10},
        "test-n": {TEST: 7, LABELLED_VALIDATION: 3},
        "test-a": {TEST: 14, LABELLED_VALIDATION: 6},
    }


def test_own_parts_that_cannot_be_kept_are_refused() -> None:
    entries = in_parts(train=(3, 0), validation=(2, 0))
    with pytest.raises(InputError, match=r"no test part of its own, but train 3, validation 2: ca"):
        split_scans(entries, SHARES, 0, {})
    some = [*in_parts(train=(2, 0), test=(0, 1)), ScanEntry("x", (), ()), ScanEntry("y", (), ())]
    message = r"^scans\.parts: 2 scans are in no part of the set, such as 'x', beside test 1, train"
    with pytest.raises(InputError, match=message):
        split_scans(some, SHARES, 0, {})


def test_own_parts_without_validation_and_with_abnormal_scans_that_train_not() -> None:
    splits = split_scans(in_parts(train=(20, 10), test=(8, 8)), SHARES, 0, {})
    assert counts_by_part(splits) == {
        "train-n": {TRAIN: 15, VALIDATION: 3, LABELLED_VALIDATION: 2},
        "train-a": {LABELLED_VALIDATION: 3},
        "test-n": {TEST: 8},
        "test-a": {TEST: 8},
    }


@given(
    entries=bags_of_views(),
    seed=st.integers(0, 99),
    normal_windows=st.sampled_from(["bags", "outside"]),
)
def test_bags_that_teach_are_whole_have_a_threat_and_are_missing_nowhere_but_where_they_were(
    entries: list[ScanEntry], seed: int, normal_windows: NormalWindows
) -> None:
    before = replace(SHARES, normal_windows=normal_windows, labelled_validation=0)
    taught = replace(before, labelled_training=0.4)
    was, now = (split_scans(entries, shares, seed, by_bag(entries)) for shares in (before, taught))
    assert LABELLED_TRAINING not in was.values()
    assert now.keys() == was.keys()
    abnormal = 0
    for bag in make_bags(entries, by_bag(entries)):
        (split,) = {now[scan.scan_id] for scan in bag.scans}
        abnormal += len(bag.scans) if bag.classes else 0
        if not bag.classes:
            assert split == was[bag.scans[0].scan_id]
        elif normal_windows == "bags":
            assert split in (LABELLED_TRAINING, TEST)
    found = list(now.values()).count(LABELLED_TRAINING)
    assert abs(found - 0.4 * abnormal) <= 2.5  # as above: whole bags


def test_bags_that_teach_are_of_every_class_and_those_left_are_shared_out_as_before() -> None:
    entries = entries_of(40, 20)
    splits = split_scans(entries, replace(SHARES, labelled_training=0.4), 0, {})
    for parity in (0, 1):
        found = [splits[f"a{number}"] for number in range(parity, 20, 2)]
        assert Counter(found) == {LABELLED_TRAINING: 4, LABELLED_VALIDATION: 2, TEST: 4}
    left = [entry for entry in entries if splits[entry.scan_id] != LABELLED_TRAINING]
    assert split_scans(left, SHARES, 0, {}).items() <= splits.items()


def test_with_own_parts_bags_of_the_test_teach_only_where_no_other_part_has_any() -> None:
    taught = replace(SHARES, labelled_training=0.5)
    entries = in_parts(train=(20, 10), validation=(10, 0), test=(8, 8))
    was, now = (counts_by_part(split_scans(entries, shares, 0, {})) for shares in (SHARES, taught))
    assert now["train-a"] == {LABELLED_TRAINING: 5, LABELLED_VALIDATION: 2}
    assert {**now, "train-a": 0} == {**was, "train-a": 0}
    entries = in_parts(train=(20, 0), test=(10, 20))
    was, now = (counts_by_part(split_scans(entries, shares, 0, {})) for shares in (SHARES, taught))
    assert now["test-a"] == {LABELLED_TRAINING: 10, LABELLED_VALIDATION: 3, TEST: 7}
    assert {**now, "test-a": 0} == {**was, "test-a": 0}
    outside = replace(taught, normal_windows="outside")
    entries = in_parts(train=(20, 10), validation=(5, 0), test=(8, 8))
    now = counts_by_part(split_scans(entries, outside, 0, {}))
    assert now["train-a"] == {LABELLED_TRAINING: 5, TRAIN: 5}
