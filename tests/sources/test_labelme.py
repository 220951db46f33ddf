import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.sources.labelme import LabelMeSource
from tests.sources.sets import write_set

CLASSES = ClassMap({"gun": "gun", "knife": "knife", "cup": "normal", "7": "gun"})
RECTANGLE = {"label": "gun", "shape_type": "rectangle", "points": [[10, 5], [30, 20]]}
CORNERS = [[10, 5], [29, 5], [29, 19], [10, 19]]


def source_of(folder: Path, **contents: Any) -> LabelMeSource:
    files = {f"{name}.json": json.dumps(content) for name, content in contents.items()}
    write_set(folder, {**files, **dict.fromkeys(f"{name}.png" for name in contents)})
    return LabelMeSource(folder, CLASSES)


@pytest.mark.parametrize(
    "shape",
    [
        RECTANGLE,
        {"label": " gun ", "shape_type": "polygon", "points": CORNERS},
        {"label": "gun", "points": CORNERS},
        {"label": "gun", "shape_type": None, "points": CORNERS},
        {"label": 7, "points": CORNERS},
    ],
)
def test_rectangles_and_polygons(tmp_path: Path, shape: dict[str, Any]) -> None:
    other = {"label": "cup", "points": [[1, 1], [5, 1], [5, 9]]}
    content = {"shapes": [other, shape], "imageWidth": 50, "imageHeight": 40, "flags": None}
    source = source_of(tmp_path, a=content, b={"shapes": []})
    listing = source.listing()
    assert [(entry.scan_id, entry.classes) for entry in listing.entries] == [
        ("a", ("gun",)), ("b", ()),
    ]  # fmt: skip
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    assert [entry.files[1:] for entry in listing.entries] == [(a,), (b,)]
    assert listing.bad == []
    assert listing.annotations == {a, b}
    scan = source.read(listing.entries[0])
    assert scan.objects == ("cup", str(shape["label"]).strip())
    (region,) = scan.regions
    assert region.mask[5:20, 10:30].all()
    assert region.mask.sum() - 300 in (0, 20 + 15 + 1)  # supervision's rectangles have both ends


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"shapes": [RECTANGLE, {**RECTANGLE, "shape_type": "circle"}]},
         "shape 2: a circle called 'gun', expected a rectangle or a polygon with a label"),
        ({"shapes": [{**RECTANGLE, "label": " "}]},
         "shape 1: a rectangle called '', expected a rectangle or a polygon with a label"),
        ({"shapes": [{"points": CORNERS}]}, "not LabelMe's JSON: expected `shapes`"),
        ({"shapes": [], "flags": ["gun"]}, "not LabelMe's JSON: expected `shapes`"),
        ([RECTANGLE], "not LabelMe's JSON: expected `shapes`"),
        ({"objects": []}, "not LabelMe's JSON: expected `shapes`"),
        ({"shapes": [], "flags": {"gun": False, "knife": True}},
         "flag 'knife' marks the whole image: draw a shape instead"),
        ({"shapes": [{**RECTANGLE, "label": "cup"}], "flags": {"gun": True}},
         "flag 'gun' marks the whole image: draw a shape instead"),
    ],
)  # fmt: skip
def test_a_file_of_another_form_is_named_and_its_image_is_no_normal(
    tmp_path: Path, content: Any, reason: str
) -> None:
    listing = source_of(tmp_path, a=content, b={"shapes": [RECTANGLE]}).listing()
    assert [entry.scan_id for entry in listing.entries] == ["b"]
    assert listing.bad == [BadInput(f"{tmp_path}/a.json", reason)]


@pytest.mark.parametrize(
    ("shapes", "flags"),
    [
        ([], {"cup": True}),
        ([], {"reviewed": True}),
        ([], {"gun": False}),
        ([RECTANGLE], {"gun": 1}),
        ([RECTANGLE], {"7": True}),  # a gun too
    ],
)
def test_flags_of_no_threat_or_beside_a_shape_say_nothing(
    tmp_path: Path, shapes: list[Any], flags: dict[str, Any]
) -> None:
    listing = source_of(tmp_path, a={"shapes": shapes, "flags": flags}).listing()
    assert listing.bad == []
    assert [entry.classes for entry in listing.entries] == [("gun",) if shapes else ()]


@pytest.mark.parametrize(
    ("size", "points", "reason"),
    [
        ((40, 50), RECTANGLE["points"], "annotated as 40x50, but the image is 50x40: annotate"),
        ((40.0, 50.0), RECTANGLE["points"], "annotated as 40x50, but the image is 50x40: annotate"),
        ((1, 50), RECTANGLE["points"], "annotated as 1x50, but the image is 50x40: annotate"),
        ((50, 40), [[0, 0], [9, 501]], "a coordinate far outside of the image, or not a number"),
        ((50, 40), [[50, 0], [60, 9]], "a box outside of the image of 50x40"),
        ((50, 40), [[1, 1]], ""),
        (("40", 50), RECTANGLE["points"], None),
        ((0, 50), RECTANGLE["points"], None),
        ((None, 50), RECTANGLE["points"], None),
    ],
)
def test_a_shape_that_does_not_fit_its_image_is_named(
    tmp_path: Path, size: tuple[object, object], points: object, reason: str | None
) -> None:
    shapes = [RECTANGLE, {**RECTANGLE, "points": points}]
    sizes = dict(zip(("imageWidth", "imageHeight"), size, strict=True))
    source = source_of(tmp_path, a={"shapes": shapes, **sizes})
    (entry,) = source.listing().entries
    if reason is None:  # a size that says nothing
        assert len(source.read(entry).regions) == 2
        return
    number = 1 if reason.startswith("annotated") else 2
    with pytest.raises(InputError, match=rf"a\.json: shape {number}: {reason}"):
        source.read(entry)


def test_a_shape_without_points_is_named(tmp_path: Path) -> None:
    shape = {key: value for key, value in RECTANGLE.items() if key != "points"}
    source = source_of(tmp_path, a={"shapes": [shape]})
    (entry,) = source.listing().entries
    with pytest.raises(InputError, match=r"a\.json: shape 1: no 'points'$"):
        source.read(entry)


def test_other_json_is_no_label_and_labels_without_an_image_are_named(tmp_path: Path) -> None:
    write_set(tmp_path, {"info.json": '{"kV": 160}', "gone.json": '{"shapes": []}'})
    listing = source_of(tmp_path, a={"shapes": [RECTANGLE]}).listing()
    assert tmp_path / "info.json" not in listing.annotations
    reason = "labels of no image, or of one with other labels: rename or remove it"
    assert listing.bad == [BadInput(f"{tmp_path}/gone.json", reason)]
