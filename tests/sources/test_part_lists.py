"""Lists of images that name a set's own parts."""

from pathlib import Path

import pytest

from pipeline.scans.sources.folders import list_files
from pipeline.scans.sources.part_lists import PartLists, read_part_lists
from tests.sources.sets import Content, write_set

IMAGES: dict[str, Content] = dict.fromkeys(f"images/{name}.png" for name in ("a", "b", "c d", "e"))


def lists_of(folder: Path, **lists: str | bytes) -> PartLists:
    """What the lists of a set of four images say."""
    texts: dict[str, Content] = {f"lists/{name}.txt": text for name, text in lists.items()}
    return read_part_lists(list_files(write_set(folder, IMAGES | texts)))


def parts(found: PartLists) -> dict[str, str]:
    return {path.stem: part for path, part in found.parts.items()}


@pytest.mark.parametrize("line", ["a", "a.png", "images/a.png", r"C:\set\images\a.png", " a "])
def test_a_line_is_the_name_or_path_of_an_image(tmp_path: Path, line: str) -> None:
    found = lists_of(tmp_path, train=f"{line}\n\nb.png\n", VAL="c d.png\nc d\n", testing="e\n")
    assert parts(found) == {"a": "train", "b": "train", "c d": "validation", "e": "test"}
    assert [path.name for path in found.files] == ["VAL.txt", "testing.txt", "train.txt"]
    assert found.notes == {}


def test_an_image_of_two_parts_has_none_and_a_part_may_have_two_lists(tmp_path: Path) -> None:
    found = lists_of(tmp_path, train="a\nb\n", training="b\ne\n", test="a\nc d\n")
    assert parts(found) == {"b": "train", "c d": "test", "e": "train"}
    note = f"images in lists of several parts, such as {tmp_path}/images/a.png"
    assert found.notes == {note: 1}


@pytest.mark.parametrize("line", ["gone", "a b", "1 a", "a 1"])
def test_a_list_with_a_line_that_names_no_image_is_not_followed(tmp_path: Path, line: str) -> None:
    found = lists_of(tmp_path, train=f"a\n{line}\n", test=f"{line}\nb\n", val="e\n")
    assert parts(found) == {"e": "validation"}
    first = tmp_path / "lists/test.txt"
    assert found.files == [tmp_path / "lists/val.txt"]
    assert found.notes == {f"lists not followed, since a line names no image: {first}": 2}


def test_what_names_no_image_or_no_part_or_cannot_be_read_is_no_list(tmp_path: Path) -> None:
    boxes = "a.png 10,5,30,20,0\nb.png\n"
    found = lists_of(
        tmp_path, train="labels\nof May\n", names="a\n", test=b"a\n\xff\n", val="", valid=boxes
    )
    assert found == PartLists({}, [], {})
