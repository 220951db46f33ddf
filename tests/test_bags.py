from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.scans.bags import bag_names, describe_bags, make_bags
from pipeline.scans.scan import ScanEntry
from pipeline.settings.scans import BagColumn, check_group

COLUMN = BagColumn("bags.csv", scan="file", bag="bag")


def entries_of(*scan_ids: str) -> list[ScanEntry]:
    return [ScanEntry(scan_id, (), ()) for scan_id in scan_ids]


ENTRIES = entries_of("images/a_1", "images/b.2", "more/a_1", "more/c")


def test_no_group() -> None:
    assert bag_names(ENTRIES, None, Path()) == {}
    assert [bag.key for bag in make_bags(ENTRIES, {})] == sorted(e.scan_id for e in ENTRIES)


def test_a_pattern_names_by_its_first_group_or_whole() -> None:
    entries = entries_of("bag1-a", "bag1-b", "n1")
    assert bag_names(entries, r"^(bag\d+)-", Path()) == {"bag1-a": "bag1", "bag1-b": "bag1"}
    assert bag_names(entries, "^n", Path()) == {"n1": "n"}
    assert bag_names(entries, "^n|(bag)", Path()) == {"bag1-a": "bag", "bag1-b": "bag"}
    # An empty name is no bag that two scans could share.
    assert bag_names(entries, r"^bag(x*)|(?<=n)(1)", Path()) == {}
    bags = make_bags(entries, {"bag1-a": "n1", "bag1-b": "n1"})
    assert [(bag.key, len(bag.scans)) for bag in bags] == [("n1", 2), ("n1", 1)]
    with pytest.raises(
        InputError, match=r"scans\.group: '\^case' is found in no scan's id, such as 'bag1-a'"
    ):
        bag_names(entries, "^case", Path())


def by_table(folder: Path, *lines: str) -> dict[str, str]:
    (folder / COLUMN.table).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return bag_names(ENTRIES, COLUMN, folder)


def test_a_column_names_scans_by_id_file_or_the_end_of_either(tmp_path: Path) -> None:
    table = ["bag,date,file", "x,1,images/a_1.png", "x,1,b.2", "y,1,c.jpg", "z,1,no-such-scan"]
    assert by_table(tmp_path, *table) == {"images/a_1": "x", "images/b.2": "x", "more/c": "y"}


def test_a_scan_without_a_bag_in_the_table_stands_alone(tmp_path: Path) -> None:
    assert by_table(tmp_path, "file,bag", "c,", "b.2.png,x") == {"images/b.2": "x"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,bag", "a_1.png,x"], r"line 2: 'a_1.png' is the end of \['images/a_1', 'more/a_1'"),
        (["file,bag", "c,x", "c.png,y"], "line 3: 'more/c' is in bag 'x' too"),
        (["file,bag", "d,x"], "no row of its column 'file' names a scan and a bag: expected ids"),
        (["file,case", "c,x"], r"no column 'bag': it has \['file', 'case'\]"),
    ],
)
def test_a_table_that_cannot_be_used(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        by_table(tmp_path, *lines)


def test_a_table_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bags\.csv: cannot be read \(No such file"):
        bag_names(ENTRIES, COLUMN, tmp_path)
    (tmp_path / "bags.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bags\.csv: expected a CSV file in UTF-8"):
        bag_names(ENTRIES, COLUMN, tmp_path)


def test_copies_that_roboflow_made_are_a_bag_by_the_picture_s_name() -> None:
    copies = entries_of(
        *(f"train/bag7_{suffix}.rf.0c1D2e" for suffix in ("jpg", "jpeg", "PNG", "tif", "tiff")),
        "bag8_png.rf.1",
        "bag8_webp.rf.2",
        "more/bag8_png.rf.1",
        "test/more/bag8_png.rf.2",
        "Test/bag7_jpg.rf.3",
        "bag9_png",
        "bag9_png.rf.1x/other",
        "_bmp.rf.a",
    )
    found = bag_names(copies, None, Path())
    assert set(found.values()) == {"bag7", "bag8", "more/bag8"}
    assert [scan for scan, bag in found.items() if bag == "bag8"] == [
        "bag8_png.rf.1", "bag8_webp.rf.2"
    ]  # fmt: skip
    assert len(found) == 10


def test_bags_have_the_classes_of_all_of_their_scans_and_their_scans_in_order() -> None:
    scans = {"b": ("gun",), "a": ("knife", "gun"), "d": (), "c": ("bat",)}
    entries = [ScanEntry(name, (), classes) for name, classes in scans.items()]
    bags = make_bags(entries, {"a": "y", "b": "y", "c": "x"})
    found = [(bag.key, [scan.scan_id for scan in bag.scans], bag.classes) for bag in bags]
    assert found == [("x", ["c"], ("bat",)), ("y", ["a", "b"], ("gun", "knife")), ("d", ["d"], ())]


def test_no_scans_have_no_bags() -> None:
    for group in (None, "x", COLUMN):
        assert bag_names([], group, Path("nowhere")) == {}


def test_bags_are_told_of() -> None:
    names, entries = {"a": "x", "b": "x", "c": "y"}, entries_of(*"abcde")
    assert describe_bags(names, entries, "^x", Path()) == [
        "3 of 5 scans are in 2 bags (scans.group)"
    ]
    assert describe_bags({}, [], COLUMN, Path()) == ["0 of 0 scans are in 0 bags (scans.group)"]
    assert describe_bags({}, entries, None, Path()) == []
    assert describe_bags(names, entries, None, Path()) == [
        "3 of 5 scans are Roboflow's copies of 2 pictures: all copies of a picture are in one split"
    ]


def test_a_group_that_is_no_regular_expression_is_refused() -> None:
    for group in ("^bag", COLUMN, None):
        check_group(group)
    with pytest.raises(
        InputError, match=r"^group: got '\(', expected a regular expression, a column, or null"
    ):
        check_group("(")


def test_a_whole_id_is_that_scan_s_before_it_is_an_end_or_has_a_suffix(tmp_path: Path) -> None:
    (tmp_path / COLUMN.table).write_text("file,bag\nc,x\nb.2,y\n")
    entries = entries_of("c", "more/c", "b", "b.2")
    for order in (entries, entries[::-1]):
        assert bag_names(order, COLUMN, tmp_path) == {"c": "x", "b.2": "y"}


def test_a_scan_may_stand_in_two_rows_of_one_bag(tmp_path: Path) -> None:
    assert by_table(tmp_path, "file,bag", "c.png,x", "c.txt,x", "b.2,") == {"more/c": "x"}


def test_a_row_that_names_no_scan_is_passed_over(tmp_path: Path) -> None:
    for row in ("x,", "x,.", "x,/", "x"):
        assert by_table(tmp_path, "bag,file", row, "y,c.png") == {"more/c": "y"}


def test_an_end_may_have_several_parts(tmp_path: Path) -> None:
    (tmp_path / COLUMN.table).write_text("file,bag\nmore/c.png,x\n")
    assert bag_names(entries_of("a/more/c", "a/c"), COLUMN, tmp_path) == {"a/more/c": "x"}


def test_a_path_from_above_the_set_s_folder_names_the_scan_at_its_end(tmp_path: Path) -> None:
    rows = [r"images\b.2.png,x", "/data/set/images/a_1.png,x", "D:/old/more/c.png,y"]
    names = by_table(tmp_path, "file,bag", *rows)
    assert names == {"images/a_1": "x", "images/b.2": "x", "more/c": "y"}
    assert describe_bags(names, ENTRIES, COLUMN, tmp_path) == [
        "3 of 4 scans are in 2 bags (scans.group)"
    ]


def test_rows_that_name_no_scan_are_told_of(tmp_path: Path) -> None:
    # The scan c has a row of its own, and a_1 is the end of two scans.
    names = by_table(tmp_path, "file,bag", "other/c.png,x", "other/a_1.png,x", "more/c,y")
    assert names == {"more/c": "y"}
    assert describe_bags(names, ENTRIES, COLUMN, tmp_path)[1:] == [
        f"2 rows of {tmp_path}/bags.csv name no scan, such as 'other/c.png'"
    ]


def test_a_pattern_may_leave_scans_alone() -> None:
    assert bag_names(entries_of("bag1-a", "n1", "n2-b"), r"(bag\d)?-", Path()) == {"bag1-a": "bag1"}
