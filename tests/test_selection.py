from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.patches.store import PatchStore, evenly_spaced
from pipeline.training import criterion
from pipeline.training.criterion import (
    IMPLANT_AUC,
    LABELLED_AUC,
    Validation,
    implant,
    load_validation,
    objective_name,
    training_normals,
)
from tests.darkness import darkness_detector, darkness_of, grey_patches
from tests.slow_auc import slow_auc


def test_the_criterion_is_the_same_for_the_same_seed(patches: Path) -> None:
    store = PatchStore(patches, VALIDATION)
    first, again = (load_validation(store, 5, None) for _ in range(2))
    np.testing.assert_array_equal(first.implanted, again.implanted)
    assert not np.array_equal(first.implanted, load_validation(store, 6, None).implanted)


def test_validation_has_patches_of_each_kind_spread_over_all(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(criterion, "MAX_PATCHES", 5)
    normals, labelled = (PatchStore(patches, name) for name in (VALIDATION, LABELLED_VALIDATION))
    found = load_validation(normals, 0, labelled)
    whole = normals.read(0, len(normals))
    np.testing.assert_array_equal(found.normals, whole[spread_over(np.arange(len(normals)))])
    kinds = (np.flatnonzero(labelled.is_normal()), np.flatnonzero(~labelled.is_normal()))
    rows = np.sort(np.concatenate([spread_over(kind) for kind in kinds]))
    assert found.labelled is not None
    np.testing.assert_array_equal(found.labelled, labelled.read(0, len(labelled))[rows])


def spread_over(rows: np.ndarray) -> np.ndarray:
    """The first, the last, and three of those between."""
    assert len(rows) > 5
    return rows[np.linspace(0, len(rows) - 1, 5).astype(int)]


def test_labels_are_the_objective_only_where_both_kinds_are_there(patches: Path) -> None:
    assert objective_name(PatchStore(patches, LABELLED_VALIDATION)) == LABELLED_AUC
    assert objective_name(PatchStore(patches, VALIDATION)) == IMPLANT_AUC


def test_a_higher_objective_is_more_abnormal_patches_above_normal_ones() -> None:
    validation = Validation(
        normals=grey_patches(200, 100),
        implanted=grey_patches(150, 50),  # darker than 3 of the 4 normals that they can be beside
        labelled=grey_patches(150, 200, 50, 100, 10),
        labelled_abnormal=np.array([True, False, True, False, True]),  # darker than 5 of 6
    )
    assert validation(darkness_detector()) == {
        IMPLANT_AUC: 3 / 4,
        LABELLED_AUC: pytest.approx(5 / 6),
        "validation_darkness": pytest.approx(255 - 150),
    }


def test_the_objectives_of_a_store_are_those_of_its_labels(patches: Path) -> None:
    normals, labelled = (PatchStore(patches, name) for name in (VALIDATION, LABELLED_VALIDATION))
    plain, both = (load_validation(normals, 0, store) for store in (None, labelled))
    found = both(darkness_detector())
    dark = darkness_of(labelled.read(0, len(labelled)))
    normal = labelled.labels == "normal"
    expected = slow_auc(dark[normal].tolist(), dark[~normal].tolist())
    assert expected > 0.6  # so that 1 - it is another one
    assert found[LABELLED_AUC] == pytest.approx(expected)
    dark, implanted = (darkness_of(kind).tolist() for kind in (both.normals, both.implanted))
    assert found[IMPLANT_AUC] == pytest.approx(slow_auc(dark, implanted))
    del found[LABELLED_AUC]
    assert found == plain(darkness_detector())


def test_implants_are_turned_pieces_of_other_patches_from_the_same_place() -> None:
    patches = np.random.default_rng(0).integers(1, 250, (20, 32, 32, 3), dtype=np.uint8)
    donors = []
    for row, after in enumerate(implant(patches, np.random.default_rng(2))):
        changed = np.nonzero((patches[row] != after).any(axis=2))
        place = tuple(slice(axis.min(), axis.max() + 1) for axis in changed)
        assert all(4 <= side.stop - side.start <= 16 for side in place)
        donors += [
            donor
            for donor in range(20)
            for turns in (1, 2, 3)
            if np.array_equal(
                after[place],
                patches[row][place].astype(int) * np.rot90(patches[donor], turns)[place] // 255,
            )
        ]
    assert sorted(donors) == list(range(20))
    assert all(donor != row for row, donor in enumerate(donors))  # so it is with this seed


@given(count=st.integers(0, 60), most=st.integers(2, 20))
def test_spread_rows_are_as_far_apart_as_each_other(count: int, most: int) -> None:
    rows = evenly_spaced(np.arange(count), most).tolist()
    assert len(rows) == min(count, most)
    if count:
        assert (rows[0], rows[-1]) == (0, count - 1)
    steps = np.diff(rows)
    assert not len(steps) or np.ptp(steps) <= 1


def test_spread_keeps_the_rows_and_not_their_places() -> None:
    assert evenly_spaced(np.array([3, 5, 8, 10, 40, 41, 90]), 4).tolist() == [3, 8, 40, 90]


@pytest.mark.slow
def test_implants_are_of_every_size_place_and_turn() -> None:
    """An eighth to half of the side long, at any place inside, turned by 90, 180 or 270 degrees."""
    patches = np.random.default_rng(0).integers(1, 250, (1500, 18, 18, 1), dtype=np.uint8)
    donors = np.random.default_rng(3).permutation(1500)  # what `implant` draws first
    turns, places = set(), []
    for row, after in enumerate(implant(patches, np.random.default_rng(3))):
        rows, columns, _ = np.nonzero(patches[row] != after)
        places.append((rows.min(), columns.min(), rows.max() + 1, columns.max() + 1))
        place = tuple(slice(axis.min(), axis.max() + 1) for axis in (rows, columns))
        turns |= {
            number
            for number in range(4)
            if np.array_equal(
                after[place],
                patches[row][place].astype(int)
                * np.rot90(patches[donors[row]], number)[place]
                // 255,
            )
        }
    top, left, bottom, right = np.array(places).T
    for lengths in (bottom - top, right - left):
        assert set(lengths.tolist()) == set(range(2, 10))
    for first, last in ((top, bottom), (left, right)):
        assert (first.min(), last.max()) == (0, 18)
    assert turns == {1, 2, 3}


def test_training_normals_are_spread_over_all_training_patches(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.training.criterion.MAX_REFERENCE_NORMALS", 5)
    store = PatchStore(patches, TRAIN)
    every = store.read(0, len(store))
    monkeypatch.setattr("pipeline.training.criterion.BLOCK_ROWS", 2)
    expected = every[np.linspace(0, len(every) - 1, 5).astype(int)]
    blocks = list(training_normals(store))
    assert [len(block) for block in blocks] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_patches_without_labels_are_not_an_objective() -> None:
    patches = grey_patches(50, 100)
    found = Validation(patches, patches, labelled=patches)(darkness_detector())
    assert found == {IMPLANT_AUC: 0.5, "validation_darkness": pytest.approx(255 - 75)}


def test_an_objective_that_is_not_defined_is_that_of_chance() -> None:
    patches = grey_patches(50, 100)
    labels = np.array([False, False])
    validation = Validation(patches, patches, labelled=patches, labelled_abnormal=labels)
    assert validation(darkness_detector())[LABELLED_AUC] == 0.5
