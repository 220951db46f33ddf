from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.sources.text_boxes import TextBoxSource
from tests.sources.sets import write_set

CLASSES = ClassMap({"Knife": "knife", "Cup": "normal"})
FORM = "an image, a class, and xmin ymin xmax ymax in pixels"


def source_of(folder: Path, *texts: str, more: str = "") -> TextBoxSource:
    """A set of an image for each text: a.jpg, b.jpg, and so on."""
    files = {f"test_annotation/{name}.txt": text for name, text in zip("abc", texts, strict=False)}
    images = {f"test_image/{name}.png": None for name, _ in zip("abc", texts, strict=False)}
    return TextBoxSource(write_set(folder, {**files, **images, "README.txt": more}), CLASSES)


def test_each_line_is_an_object(tmp_path: Path) -> None:
    text = "\na.jpg Knife 10 5 30 20\n\n a.jpg  Cup 0 0 2 2 \na.jpg Knife 1.0 2.0 4 9\n"
    source = source_of(tmp_path, text, "", more="Cut 1 2 3 and 4\n")
    listing = source.listing()
    assert [(entry.scan_id, entry.classes, entry.part) for entry in listing.entries] == [
        ("test_image/a", ("knife",), "test"), ("test_image/b", (), "test"),
    ]  # fmt: skip
    a, b = (tmp_path / "test_annotation" / f"{name}.txt" for name in "ab")
    assert [entry.files[1:] for entry in listing.entries] == [(a,), (b,)]
    assert listing.bad == []
    assert listing.names == {"Knife", "Cup"}
    assert listing.annotations == {a, b}
    assert listing.ignored == {tmp_path / "README.txt": "text, but no labels"}
    scan = source.read(listing.entries[0])
    assert scan.objects == ("Knife", "Cup", "Knife")
    first, second = (region.mask for region in scan.regions)
    assert (first.sum(), first[5:20, 10:30].sum()) == (300, 300)
    assert (second.sum(), second[2:9, 1:4].sum()) == (21, 21)


@pytest.mark.parametrize(
    "line", ["a.jpg Knife 1 2 3", "a.jpg Knife 1 2 3 4 5", "a.jpg Knife 1 2 3 x", "Knife", "a b"]
)
def test_a_line_of_another_form_is_named_and_its_image_is_no_normal(
    tmp_path: Path, line: str
) -> None:
    good = "b.jpg Knife 1 2 3 4"
    listing = source_of(tmp_path, f"\n{line}\n", good).listing()
    assert [entry.scan_id for entry in listing.entries] == ["test_image/b"]
    reason = f"line 2: {line!r}, expected {FORM}"
    assert listing.bad == [BadInput(f"{tmp_path}/test_annotation/a.txt", reason)]


def test_a_line_that_does_not_fit_its_image_is_named(tmp_path: Path) -> None:
    source = source_of(tmp_path, "a.jpg Cup 1 1 2 2\n\na.jpg Knife 50 1 60 9\n")
    (entry,) = source.listing().entries
    with pytest.raises(InputError, match=r"a\.txt: line 3: a box outside of the image of 50x40$"):
        source.read(entry)


@pytest.mark.parametrize("place", ["test_annotation", "elsewhere"])
def test_an_empty_file_beside_labels_is_one_of_labels(tmp_path: Path, place: str) -> None:
    write_set(tmp_path, {f"{place}/gone.txt": ""})
    listing = source_of(tmp_path, "", "b.jpg Knife 1 2 3 4").listing()
    gone = f"{tmp_path}/{place}/gone.txt"
    reason = "labels of no image, or of one with other labels: rename or remove it"
    assert listing.bad == ([BadInput(gone, reason)] if place == "test_annotation" else [])
    assert (Path(gone) in listing.ignored) == (place == "elsewhere")
