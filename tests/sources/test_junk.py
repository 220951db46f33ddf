"""Whatever annotations hold, a source names them or reads them; nothing else is raised."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import InputError
from pipeline.scans.classes import ClassMap
from pipeline.scans.scan import ScanSource
from pipeline.scans.sources.coco import CocoSource
from pipeline.scans.sources.voc import VocSource
from pipeline.scans.sources.yolo import YoloSource
from tests.sources.bad_files import kept_and_bad
from tests.tiny import write_image

CLASSES = ClassMap({"*": "gun"})
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
NUMBERS = st.sampled_from(
    ["0", "1", "0.5", "nan", "inf", "-1", "1e400", "1e12", "x", "٣", "1_0", ""]
)


def judge(folder: Path, kind: Callable[[Path, ClassMap], ScanSource]) -> None:
    try:
        kept, bad = kept_and_bad(kind(folder, CLASSES))
        said = [item.reason for item in bad]
    except InputError as error:
        kept, said = [], [str(error)]
    assert len(kept) <= 1
    assert all(reason and "\n" not in reason for reason in said)


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_coco(data: st.DataObject) -> None:
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}],
        "categories": [{"id": 1, "name": "gun"}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4],
                "segmentation": data.draw(
                    JSON
                    | st.fixed_dictionaries(
                        {"size": st.just([20, 30]), "counts": JSON | st.text("01`~oPQ", max_size=9)}
                    )
                    | st.lists(st.lists(st.integers(-5, 40) | st.floats(), max_size=8), max_size=2)
                ),
            }
        ],
    }  # fmt: skip
    block = data.draw(st.sampled_from(sorted(content)))
    if data.draw(st.booleans()):
        content[block][0][data.draw(st.sampled_from(sorted(content[block][0])))] = data.draw(JSON)
    elif data.draw(st.booleans()):
        content[block] = data.draw(JSON)
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, "a.png"), IMAGE)
        Path(folder, "a.json").write_text(json.dumps(content))
        judge(Path(folder), CocoSource)


@pytest.mark.slow
@given(
    lines=st.lists(st.lists(NUMBERS, max_size=9).map(" ".join) | st.text(max_size=9), max_size=3)
)
def test_yolo(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, "images", "a.png"), IMAGE)
        Path(folder, "labels").mkdir()
        text = "\n".join(lines).encode("utf-8", "surrogatepass")
        Path(folder, "labels", "a.txt").write_bytes(text)
        Path(folder, "classes.txt").write_text("gun\nknife\n")
        judge(Path(folder), YoloSource)


@pytest.mark.slow
@given(
    box=st.tuples(*[NUMBERS] * 4),
    polygon=st.dictionaries(st.sampled_from(["x1", "y1", "x2", "y2", "x3", "y3", "z"]), NUMBERS),
    cut=st.integers(0, 400),
)
def test_voc(box: tuple[str, ...], polygon: dict[str, str], cut: int) -> None:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    parts = "".join(f"<{name}>{value}</{name}>" for name, value in corners)
    points = "".join(f"<{name}>{value}</{name}>" for name, value in polygon.items())
    text = (
        f"<annotation><object><name>gun</name><bndbox>{parts}</bndbox>"
        f"<polygon>{points}</polygon></object></annotation>"
    )
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, "JPEGImages", "a.png"), IMAGE)
        Path(folder, "Annotations").mkdir()
        Path(folder, "Annotations", "a.xml").write_text(
            text[: max(len(text) - cut, 0)] if cut % 3 == 0 else text
        )
        judge(Path(folder), VocSource)


@pytest.mark.parametrize("kind", [CocoSource, VocSource, YoloSource])
def test_nothing_at_all(tmp_path: Path, kind: Callable[[Path, ClassMap], ScanSource]) -> None:
    with pytest.raises(InputError, match="no image in it"):
        kind(tmp_path, CLASSES).listing()
