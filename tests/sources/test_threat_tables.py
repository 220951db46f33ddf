"""Which images a CSV file calls threats."""

import csv
import io
from pathlib import Path

import pytest

from pipeline.scans.sources.threat_tables import images_in_tables

A, B, C = (Path("set/images", f"{name}.png") for name in "abc")
CLASSES = ("Gun", "knife")


def write_table(path: Path, *rows: tuple[str, ...]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


@pytest.mark.parametrize("yes", ["1", "1.0", "true", "TRUE", "yes", " Yes "])
def test_a_row_says_yes_in_the_column_of_a_class(tmp_path: Path, yes: str) -> None:
    rows = [("name", " GUN ", "cup"), ("a", "-1", yes), ("b", yes, "0"), ("gone", yes, yes)]
    table = write_table(tmp_path / "list.csv", *rows)
    assert images_in_tables([A, B, C], [table], CLASSES) == {B: table}


@pytest.mark.parametrize("no", ["0", "-1", "", "no", "2", "false"])
def test_what_is_not_yes_is_no_threat(tmp_path: Path, no: str) -> None:
    table = write_table(tmp_path / "list.csv", ("name", "gun", "knife"), ("a", no, no))
    assert images_in_tables([A], [table], CLASSES) == {}


def test_a_row_for_each_object_has_its_class_in_a_cell(tmp_path: Path) -> None:
    rows = [("class", "xmin", "image"), ("cup", "1", "a.png"), (" KNIFE ", "1", r"images\b.png")]
    table = write_table(tmp_path / "boxes.csv", *rows, ("gun", "1", " c.png "))
    assert images_in_tables([A, B, C], [table], CLASSES) == {B: table, C: table}


def test_every_image_that_a_row_names_is_a_threat_and_no_empty_cell_names_one(
    tmp_path: Path,
) -> None:
    table = write_table(tmp_path / "t.csv", ("low", "high", "", "of"), ("a", "b", "", "gun"))
    assert images_in_tables([A, B, C], [table], CLASSES) == {A: table, B: table}


def test_a_cell_may_be_longer_than_csv_s_limit(tmp_path: Path) -> None:
    rows = [("name", "gun", "outline"), ("b", "1", "1" * 200_000), ("c", "1", "", "more")]
    table = write_table(tmp_path / "list.csv", *rows)
    assert images_in_tables([A, B, C], [table], CLASSES) == {B: table, C: table}


@pytest.mark.parametrize("classes", [CLASSES, ()])
@pytest.mark.parametrize(("between", "name"), [(",", "a.csv"), ("\t", "a.tsv"), (" ", "a.txt")])
def test_a_table_may_lack_heads(
    tmp_path: Path, classes: tuple[str, ...], between: str, name: str
) -> None:
    rows = [("images/a.png", "gun"), ("images/b.png", "normal"), ("c", "knife")]
    (tmp_path / name).write_text("\n".join(map(between.join, rows)))
    found = images_in_tables([A, B, C], [tmp_path / name], classes)
    assert found == {A: tmp_path / name, C: tmp_path / name}


def test_a_list_of_classes_names_no_image(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("gun\nknife\n")
    image = Path("set/images/gun.png")
    assert images_in_tables([image], [tmp_path / "classes.txt"], CLASSES) == {}


def test_numbers_and_longer_rows_without_heads_are_no_classes(tmp_path: Path) -> None:
    one = Path("set/images/5.png")
    losses = write_table(tmp_path / "losses.csv", ("5", "0.25"), ("6", "0.125"))
    notes = write_table(tmp_path / "notes.csv", ("a.png", "lane 3", "2024"))
    assert images_in_tables([A, one], [losses, notes], ()) == {}


@pytest.mark.parametrize(
    "text",
    [
        "filename,class_name\na.png,gun\nb.png,normal\n",
        "filename,labels\na.png,gun\nb.png,normal\n",
        "file;Classes\na.png;gun\nb.png;normal\n",
        "Image Index,Finding Labels\na.png,gun\nb.png,normal\n",
        "filename,is_threat\na.png,True\nb.png,False\n",
        "filename\tlane\tthreat\na.png\tA 1\tgun\nb.png\tA 1\tnone\n",
        "filename lane threat\na.png A1 gun\nb.png A1 none\n",
    ],
)
def test_a_head_may_have_more_words_and_be_plural(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    assert images_in_tables([A, B], [tmp_path / "t.txt"], ()) == {A: tmp_path / "t.txt"}


@pytest.mark.parametrize("between", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_the_header_and_the_bytes_tell_the_form_of_a_table(
    tmp_path: Path, between: str, encoding: str
) -> None:
    place = "K\u00f6ln"
    rows = [("image", "class", "place"), ("a.png", "cup", place), ("b.png", "gun", place)]
    text = "".join(f"{between.join(row)}\n" for row in rows)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert images_in_tables([A, B, C], [tmp_path / "t.csv"], CLASSES) == {B: tmp_path / "t.csv"}


@pytest.mark.parametrize(
    "rows",
    [
        [("file", "Label"), ("a.png", "Normal"), ("b.png", "gun"), ("c.png", "0")],
        [("name", "gun", "knife"), ("a", "-1", "-1"), ("b", "-1", "1"), ("c", "0", "0")],
        [("name", "machine", "hour"), ("a", "7", "1"), ("b", "threat", "1"), ("c", "x", "1")],
    ],
)
def test_without_classes_any_class_but_normal_is_a_threat(
    tmp_path: Path, rows: list[tuple[str, ...]]
) -> None:
    table = write_table(tmp_path / "t.csv", *rows)
    expected = {} if rows[0][1] == "machine" else {B: table}
    assert images_in_tables([A, B, C], [table], ()) == expected
