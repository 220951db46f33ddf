"""A folder of normal scans alone, and sets with labels that are given as one."""

from collections.abc import Mapping

import pytest

from pipeline.common.errors import InputError
from tests.sources.sets import GUN, GUN_XML, NORMALS, Content, Stage, in_folder

WAY = "set scans.source to folder if every image in it is a normal scan"


def test_every_image_is_normal_and_every_other_file_is_counted(stage: Stage) -> None:
    others = {"notes.txt": "of lane 3", "day1/a/list.csv": "file\nb.png\n", ".hidden": "x"}
    nested = {"day1/a/b.png": None, "day1/c.TIF": None, "day 2/d.jpeg": None}
    found = stage({**in_folder("."), **nested, **others}, source="folder", classes={})
    names = {"day1/a/b", "day1/c", "day 2/d", *NORMALS}
    assert found.classes() == dict.fromkeys(names, ())
    assert all(scan.regions == () == scan.objects for scan in found.scans().values())
    account = found.account.splitlines()
    assert account[0] == (
        "set: 13 files seen: 11 used as images, 0 as annotations, 0 bad, 2 ignored"
    )
    for line in (
        "  hidden, and not looked at: 1 (.hidden)",
        "  1 images in day 2/",
        "  2 images in day1/",
        "  11 images without annotation, taken for normal (scans.unannotated)",
    ):
        assert line in account


def test_own_parts_are_kept_if_the_user_says_so(stage: Stage) -> None:
    files = {**in_folder("train"), "val/v.png": None, "test/t.png": None}
    splits = stage(files, source="folder", classes={}, parts="own").splits()
    expected = {"train": "train", "val": "validation", "test": "test"}
    assert splits == {name: expected[name.split("/")[0]] for name in splits}
    assert len(splits) == 10


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ({"labels/other.txt": GUN}, "set/labels/other.txt"),
        ({"a.xml": GUN_XML}, "set/a.xml"),
        ({"labels.zip": b"PK"}, "set/labels.zip"),
    ],
)
def test_a_set_with_labels_is_not_taken_for_normal(
    stage: Stage, labels: Mapping[str, Content], named: str
) -> None:
    with pytest.raises(InputError, match=rf"1 files of labels, such as {named}: .*set scans\.sou"):
        stage({**in_folder("."), **labels}, source="folder", classes={})


def test_an_image_with_a_mask_is_bad(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    files = {**in_folder("normal"), "threat/t.png": None, "masks/t.png": None}
    with pytest.raises(InputError, match="1 bad file, named above"):
        stage(files, source="folder", classes={})
    assert "set/threat/t.png: no labels were read, but set/masks/t.png has the same name" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("source", ["coco", "masks", "sixray", "class_folders"])
def test_formats_that_refuse_a_flat_folder_say_how_to_read_it(stage: Stage, source: str) -> None:
    with pytest.raises(InputError, match=f"{WAY}$"):
        stage(in_folder("."), source=source)
