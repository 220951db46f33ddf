"""LabelMe: a JSON file of shapes beside each image."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from supervision.dataset.formats.labelme import (
    SUPPORTED_SHAPE_TYPES,
    labelme_shapes_to_detections,
)

from pipeline.bad_input import as_bad
from pipeline.errors import InputError
from pipeline.sources.base import Mask, ScanEntry, SetFiles
from pipeline.sources.detections import (
    DetectionSource,
    LabelledSet,
    Labels,
    check_reach,
    check_size,
    mask_of,
)

WRONG_SHAPE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


class LabelMeSource(DetectionSource):
    """Rectangles and polygons."""

    def labels(self, files: SetFiles) -> LabelledSet:
        """Images pair with JSON files by their names."""
        found = LabelledSet()
        for image, path in found.pair(files, files.ending_in(".json")):
            try:
                names = frozenset(str(shape["label"]).strip() for shape in _read(path)["shapes"])
            except InputError as error:
                found.refuse(image, as_bad(path, error))
                continue
            found.scans[image] = Labels(names, (path,))
        return found

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Each shape by itself."""
        for path in entry.files[1:]:
            content = _read(path)
            annotated = (content.get("imageWidth"), content.get("imageHeight"))
            for number, shape in enumerate(content["shapes"], 1):
                try:
                    if all(isinstance(side, int) and side > 0 for side in annotated):
                        check_size(annotated, size)
                    check_reach((value for point in shape["points"] for value in point), size)
                    classes = {shape["label"]: 0}
                    alone = labelme_shapes_to_detections([shape], classes, size, with_masks=True)
                    yield str(shape["label"]).strip(), mask_of(alone, size)
                except WRONG_SHAPE as error:
                    raise InputError(f"{path}: shape {number}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    """A file's content, once its shapes are known to be of kinds that are read."""
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        kinds = [shape["shape_type"] for shape in content["shapes"]]
        if any(not str(shape["label"]).strip() for shape in content["shapes"]):
            raise InputError(f"{path}: a shape without a label")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except InputError:
        raise
    except (*WRONG_SHAPE, RecursionError):
        raise InputError(f"{path}: not LabelMe's JSON: expected `shapes`") from None
    for number, kind in enumerate(kinds, 1):
        if kind not in SUPPORTED_SHAPE_TYPES:
            raise InputError(
                f"{path}: shape {number} is a {kind}: expected a rectangle or a polygon"
            )
    return content
