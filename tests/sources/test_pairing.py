"""Which file of labels is whose, by paths alone."""

from pathlib import Path

import pytest

from pipeline.scans.sources.pairing import (
    MAX_COMPARED,
    by_end,
    find_by_end,
    loose_stem,
    pair,
    part_in_name,
    part_of,
    words_of,
)

SET = Path("train/masks/set")  # the words above the set do not count


def paths(*names: str) -> list[Path]:
    return [SET / name for name in names]


def paired(images: list[str], labels: list[str]) -> dict[str, str]:
    """The labels of each image, where nothing clashes."""
    found = pair(SET, paths(*images), paths(*labels))
    assert found.clashes == {}
    assert set(found.alone) == {*paths(*labels)} - {*found.labels.values()}
    return {
        image.relative_to(SET).as_posix(): path.relative_to(SET).as_posix()
        for image, path in found.labels.items()
    }


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/a.png", "labels/a.txt"),
        ("train_image/a.png", "train_annotation/a.xml"),
        ("JPEGImages/x.y/a.b.png", "Annotations/x_y/a.b.xml"),
        ("IMG-scan/Bag 1/a.png", "yolo/bag_1/a.json"),
        ("a.png", "labels/a.txt"),
        ("images/A.PNG", "labels/a.txt"),
        ("here/a.jpg", "there/a.jpg.txt"),
    ],
)
def test_paths_that_are_equal_but_for_words_and_case_go_together(image: str, labels: str) -> None:
    assert paired([image, "images/b.png"], [labels, "labels/c.txt"]) == {image: labels}


def test_labels_beside_an_image_are_taken_first() -> None:
    images = ["images/a.png", "scans/a.png"]
    assert paired(images, ["images/a.txt", "scans/a.txt"]) == {
        "images/a.png": "images/a.txt", "scans/a.png": "scans/a.txt",
    }  # fmt: skip


def test_labels_of_two_images_of_one_folder_belong_to_both() -> None:
    images = ["images/a.jpg", "images/a.png"]
    assert paired(images, ["labels/a.txt"]) == dict.fromkeys(images, "labels/a.txt")


def test_of_equal_names_those_go_together_whose_folders_share_most_words() -> None:
    images = ["raw/one/left/a.png", "raw/one/right/a.png", "raw/two/left/a.png"]
    labels = ["truth/left/one/a.txt", "truth/one/right/a.txt", "truth/two/left/a.txt"]
    assert paired(images, labels) == dict(zip(images, labels, strict=True))


def test_different_parts_never_go_together() -> None:
    images = ["train/data/a.png", "val/data/a.png", "data/b.png"]
    assert paired(images, ["truth/train/a.txt", "truth/test/b.txt"]) == {
        "train/data/a.png": "truth/train/a.txt", "data/b.png": "truth/test/b.txt",
    }  # fmt: skip
    assert paired(["train/data/a.png"], ["test/truth/a.txt"]) == {}


@pytest.mark.parametrize("count", [MAX_COMPARED, MAX_COMPARED + 1])
def test_of_many_pictures_of_one_name_only_those_of_the_rarest_word_are_compared(
    count: int,
) -> None:
    images = [f"raw/bag{number}/top.png" for number in range(count)]
    labels = ["raw/truth/bag7/top.txt", "raw/truth/bag9/top.txt"]
    assert paired(images, labels) == {images[7]: labels[0], images[9]: labels[1]}


def test_of_many_pictures_the_one_that_shares_the_rarest_word_is_taken() -> None:
    others = [f"a/b/bag{number}/top.png" for number in range(MAX_COMPARED)]
    assert paired([*others, "z/top.png"], ["a/b/z/top.txt"]) == {"z/top.png": "a/b/z/top.txt"}


def test_of_fifty_pictures_of_one_name_all_are_compared_and_of_more_those_that_share_a_word() -> (
    None
):
    for count, clashes in ((MAX_COMPARED, MAX_COMPARED + 1), (MAX_COMPARED + 1, 0)):
        images = paths(*(f"raw/bag{number}/top.png" for number in range(count)))
        found = pair(SET, images, paths("other/top.txt"))
        assert (found.labels, len(found.clashes)) == ({}, clashes)
        assert found.alone == ([] if clashes else paths("other/top.txt"))


def test_a_clash_names_four_of_its_files() -> None:
    images, labels = paths("x/a.png", "y/a.png", "z/a.png"), paths("t/a.txt", "u/a.txt")
    found = pair(SET, [*images, *paths("t/b.png")], [*labels, *paths("t/c.txt")])
    assert (found.labels, found.alone) == ({}, paths("t/c.txt"))
    reason = (
        f"cannot tell which labels belong to which image: {SET}/x/a.png, {SET}/y/a.png, "
        f"{SET}/z/a.png, {SET}/t/a.txt: rename some"
    )
    assert found.clashes == dict.fromkeys([*images, *labels], reason)


def test_two_files_of_labels_for_one_image_clash() -> None:
    for labels in (["labels/a.txt", "labels/a.xml"], ["t/a.txt", "u/a.txt"]):
        found = pair(SET, paths("images/a.png"), paths(*labels))
        assert (found.labels, found.alone) == ({}, [])
        assert set(found.clashes) == {*paths("images/a.png", *labels)}


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("IMG_1.JPG", "img_1"),
        ("img_1.jpg.txt", "img_1"),
        ("a.b.c.xml", "a.b.c"),
        ("a.b.c.Tiff.xml", "a.b.c"),
        ("none", "none"),
        ("A\u0308.png", "\u00e4"),
        (".png", ".png"),
    ],
)
def test_a_loose_stem_has_no_case_and_no_suffixes(name: str, stem: str) -> None:
    assert loose_stem(Path("some.png/Folder", name)) == stem


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train/a.png", "train"),
        ("images/val2017/a.png", "validation"),
        ("Test_Image/deep/a.png", "test"),
        ("x/y/testing/a.png", "test"),
        ("train/test/a.png", "train"),
        ("images/test.png", None),
        ("training day/a.png", None),
        ("my_train/a.png", None),
        ("images/a.png", None),
        ("train20171/a.png", None),
        ("a.png", None),
    ],
)
def test_a_part_is_named_by_a_folder_alone(name: str, part: str | None) -> None:
    assert part_of(SET, SET / name) == part


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("instances_val2017", "validation"),
        ("TRAIN", "train"),
        ("train-training", "train"),
        ("train_val", None),
        ("instances", None),
        ("trainval", None),
    ],
)
def test_a_part_in_a_name_is_the_only_one(name: str, part: str | None) -> None:
    assert part_in_name(name) == part


def test_ends_of_paths_lead_to_the_only_image_that_has_them() -> None:
    one, other, last = (Path(name) for name in ("x/y/a.png", "z/y/a.png", "z/b.jpg"))
    assert by_end([one, other, last]) == {
        "x/y/a.png": one, "y/a.png": None, "a.png": None, "x/y/a": one, "y/a": None, "a": None,
        "z/y/a.png": other, "z/y/a": other,
        "z/b.jpg": last, "b.jpg": last, "z/b": last, "b": last,
    }  # fmt: skip


def test_an_end_that_three_images_share_leads_to_none() -> None:
    assert by_end([Path(folder, "a.png") for folder in "xyz"])["a.png"] is None


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("x/y/a.png", "x/y/a.png"),
        (r"C:\z\y\a", "z/y/a.png"),
        ("../../x/y/a", "x/y/a.png"),
        ("y/a.png", None),
        ("other/b.jpg", "z/b.jpg"),
        ("gone.png", None),
        ("", None),
    ],
)
def test_an_image_is_found_by_the_longest_end_of_a_path(written: str, image: str | None) -> None:
    ends = by_end(map(Path, ("x/y/a.png", "z/y/a.png", "z/b.jpg")))
    assert find_by_end(ends, written) == (Path(image) if image else None)


def test_words_are_parted_by_blanks_dots_lines_and_dashes() -> None:
    assert words_of("_My  Scans-of.May__2024") == ["my", "scans", "of", "may", "2024"]
