"""Where a YOLO set says what its classes are called."""

import re
from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.scans.sources.folders import list_files
from pipeline.scans.sources.yolo_names import PLACES, Names, PosesError, read_names
from tests.sources.sets import Content, write_set

NAMES = {0: "gun", 1: "cup"}


def names_of(folder: Path, files: dict[str, Content]) -> tuple[Names, list[str]]:
    names, paths = read_names(list_files(write_set(folder, files)))
    return names, [path.relative_to(folder).as_posix() for path in paths]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: [gun, ' cup ']\nnc: 2"),
        ("data.yml", "\ufeffnames: [gun, cup]"),
        ("deep/any.YML", "names: {0: gun, '1': cup}"),
        ("obj.names", "gun\ncup\n"),
        ("deep/A.NAMES", "gun\n cup \n\n \n"),
        ("_darknet.labels", "gun\ncup"),
        ("deep/Classes.TXT", "gun\ncup"),
    ],
)
def test_names_are_in_files_of_several_tools(tmp_path: Path, name: str, text: str) -> None:
    others: dict[str, Content] = {
        "notes.txt": "bat", "my_classes.txt": "bat", "labels": "bat",
        "a.yaml": "nc: 2", "b.yaml": "- names", "c.yaml": "3",
    }  # fmt: skip
    assert names_of(tmp_path, {**others, name: text}) == (NAMES, [name])


def test_a_line_between_names_is_a_name(tmp_path: Path) -> None:
    assert names_of(tmp_path, {"classes.txt": "gun\n\ncup\n\n"})[0] == {0: "gun", 1: "", 2: "cup"}


def test_of_files_that_agree_the_longest_holds(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        "a.names": "gun", "b.yaml": "names: [gun, cup]", "c.yaml": "names: {1: cup}"
    }  # fmt: skip
    assert names_of(tmp_path, files) == (NAMES, ["a.names", "b.yaml", "c.yaml"])


@pytest.mark.parametrize("other", ["names: [cup]", "names: [gun, knife]", "names: {2: bat}"])
def test_files_that_differ_are_named(tmp_path: Path, other: str) -> None:
    names = re.findall(r"gun|cup|knife|bat", other)
    message = (
        f"{tmp_path}: names of classes that differ: {tmp_path}/a.names has ['gun', 'cup']; "
        f"{tmp_path}/b.yaml has {names}: keep one"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        names_of(tmp_path, {"a.names": "gun\ncup", "b.yaml": other})


def test_every_file_without_names_is_named_where_none_has_any(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}: no names of classes: expected {PLACES}$"):
        names_of(tmp_path, {"a.png": None})
    files: dict[str, Content] = {
        "a.yaml": "nc: 2", "b.yaml": "names: gun", "c.names": "\n \n", "d.yaml": "names: []",
        "e.yaml": "names: {a: gun}", "f.yaml": "names: 3", "g.yaml": "- gun", "h.yaml": "",
        "i.yaml": "a: [1",
    }  # fmt: skip
    form = "expected the classes under `names`, a list or by index"
    message = (
        f"{tmp_path}: no names of classes: expected {PLACES}: {tmp_path}/a.yaml has no `names`; "
        f"{tmp_path}/b.yaml: {form}; {tmp_path}/c.names: no name of a class in it: expected one a "
        f"line; {tmp_path}/d.yaml: {form}; {tmp_path}/e.yaml: {form}; {tmp_path}/f.yaml: {form}; "
        f"{tmp_path}/g.yaml has no `names`; {tmp_path}/h.yaml has no `names`; {tmp_path}/i.yaml: "
        "not valid YAML: "
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        names_of(tmp_path, files)


def test_poses_are_refused_beside_other_names(tmp_path: Path) -> None:
    poses = {"a.names": "gun", "pose.yaml": "names: [gun]\nkpt_shape: [2, 2]"}
    with pytest.raises(PosesError, match=r"pose\.yaml: kpt_shape: poses are not read"):
        names_of(tmp_path, {**poses})
