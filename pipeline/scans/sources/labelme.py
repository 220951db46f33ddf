"""LabelMe: a JSON file of shapes beside each image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from supervision.dataset.formats.labelme import SUPPORTED_SHAPE_TYPES, labelme_shapes_to_detections

from pipeline.common.errors import InputError
from pipeline.common.files import read_json
from pipeline.common.names import NORMAL
from pipeline.scans.scan import Mask, ScanEntry
from pipeline.scans.sources.annotated_source import (
    AnnotatedSource,
    annotated_size,
    check_reach,
    check_size,
    mask_of,
    require_pixels,
)
from pipeline.scans.sources.folders import WRONG_SHAPE, faults_of, reading
from pipeline.scans.sources.labelled_set import LabelledSet


class LabelMeSource(AnnotatedSource):
    """LabelMe's rectangles and polygons."""

    def read_labels(self, labelled_set: LabelledSet) -> None:
        """Pair images with JSON files by their names."""
        labelled_set.read_pairs(labelled_set.files.ending_in(".json"), self._names)
        labelled_set.orphans = [
            path for path in labelled_set.orphans if b'"shapes"' in path.read_bytes()
        ]

    def _names(self, path: Path) -> list[str]:
        """Return the shapes' classes; refuse a threat that is only a flag of the whole image."""
        content = _read(path)
        names = [shape["label"] for shape in content["shapes"]]
        meaning = self.classes.meaning
        drawn = {"", NORMAL, *map(meaning, names)}
        threats = [name for name in content["flags"] if meaning(name) not in drawn]
        if threats:
            raise InputError(
                f"{path}: flag {threats[0]!r} marks the whole image: draw a shape instead"
            )
        return names

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Yield the class and the mask of each shape."""
        for path in entry.files[1:]:
            content = _read(path)
            annotated = annotated_size(content.get("imageWidth"), content.get("imageHeight"))
            for number, shape in enumerate(content["shapes"], 1):
                with faults_of(f"{path}: shape {number}"):
                    check_size(annotated or size, size)
                    check_reach((value for point in shape["points"] for value in point), size)
                    require_pixels(value for point in shape["points"] for value in point)
                    classes = {shape["label"]: 0}
                    alone = labelme_shapes_to_detections([shape], classes, size, with_masks=True)
                    yield shape["label"], mask_of(alone, size)


def _read(path: Path) -> dict[str, Any]:
    """Read a file's content; raise `InputError` for shapes of kinds that are not read.

    A shape without a kind is a polygon, as in LabelMe's first files.
    """
    with reading(path):
        content: dict[str, Any] = read_json(path)
    try:
        shapes = [
            {**shape, "label": str(shape["label"]).strip(), "shape_type": _kind(shape)}
            for shape in content["shapes"]
        ]
        flags = [name for name, holds in (content.get("flags") or {}).items() if holds]
    except WRONG_SHAPE:
        raise InputError(f"{path}: not LabelMe's JSON: expected `shapes`") from None
    for number, shape in enumerate(shapes, 1):
        if shape["shape_type"] not in SUPPORTED_SHAPE_TYPES or not shape["label"]:
            got = f"a {shape['shape_type']} called {shape['label']!r}"
            raise InputError(
                f"{path}: shape {number}: {got}, expected a rectangle or a polygon with a label"
            )
    return {**content, "shapes": shapes, "flags": flags}


def _kind(shape: dict[str, Any]) -> str:
    return str(shape.get("shape_type") or "polygon")
