from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.patch_store import PatchStore
from pipeline.sources.base import ScanEntry
from pipeline.splits import LABELLED_VALIDATION, SPLITS, TEST, TRAIN, VALIDATION, split_scans
from tests.conftest import SHARES


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
    splits = split_scans(entries, SHARES, seed)
    assert splits.keys() == {entry.scan_id for entry in entries}
    for entry in entries:
        allowed = (LABELLED_VALIDATION, TEST) if entry.classes else SPLITS
        assert splits[entry.scan_id] in allowed


def test_shares_are_kept_in_every_class() -> None:
    splits = split_scans(entries_of(40, 20), SHARES, seed=0)
    counts = [list(splits.values()).count(split) for split in (TRAIN, VALIDATION, TEST)]
    assert counts == [22, 8, 7 + 14]
    for parity in (0, 1):
        labelled = [splits[f"a{number}"] for number in range(parity, 20, 2)]
        assert labelled.count(LABELLED_VALIDATION) == 3


def test_the_order_of_the_scans_does_not_matter_and_the_seed_does() -> None:
    entries = entries_of(30, 10)
    assert split_scans(entries, SHARES, 1) == split_scans(entries[::-1], SHARES, 1)
    assert split_scans(entries, SHARES, 1) != split_scans(entries, SHARES, 2)


def test_official_parts_are_kept() -> None:
    entries = [
        ScanEntry(f"{part}{number}", (), (), part)
        for part in ("train", "test")
        for number in range(20)
    ]
    splits = split_scans(entries, SHARES, 0)
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
    with pytest.raises(InputError, match="no normal scan for train"):
        split_scans(entries_of(0, 5), SHARES, 0)


def test_repeated_ids_are_refused() -> None:
    with pytest.raises(InputError, match="'n0' stands for two scans"):
        split_scans([*entries_of(5, 0), ScanEntry("n0", (), ())], SHARES, 0)
