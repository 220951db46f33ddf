from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.patches.shard_plan import shard_groups
from pipeline.scans.catalogue import CatalogueRow

IDS = st.sets(st.text(max_size=6), max_size=60)


def groups_of(ids: set[str] | list[str], most: int) -> list[tuple[str, ...]]:
    rows = [CatalogueRow(scan_id, "train", (), ("f",), ("d",)) for scan_id in ids]
    return [tuple(row.scan_id for row in group) for group in shard_groups(rows, most)]


@settings(deadline=None)
@given(IDS, st.integers(1, 9))
def test_every_scan_is_in_one_group_of_at_most_so_many(ids: set[str], most: int) -> None:
    groups = groups_of(ids, most)
    assert sorted(scan_id for group in groups for scan_id in group) == sorted(ids)
    assert all(0 < len(group) <= most for group in groups)


@settings(deadline=None)
@given(IDS, st.integers(1, 9))
def test_the_order_of_the_rows_does_not_matter(ids: set[str], most: int) -> None:
    assert groups_of(sorted(ids), most) == groups_of(sorted(ids, reverse=True), most)


@settings(deadline=None)
@given(IDS, st.integers(1, 9), st.text(max_size=6))
def test_a_scan_that_is_added_changes_one_group_at_most(
    ids: set[str], most: int, added: str
) -> None:
    before, after = set(groups_of(ids - {added}, most)), set(groups_of(ids | {added}, most))
    gone, new = before - after, after - before
    assert len(gone) <= 1
    assert {scan_id for group in new for scan_id in group} == {added}.union(*gone)


def test_groups_of_many_scans_are_well_filled() -> None:
    groups = groups_of([f"scan-{number}" for number in range(5000)], 16)
    assert 8 < sum(map(len, groups)) / len(groups) <= 16
