"""YOLO: a text file of labels for each image, one object a line, and a file of class names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from supervision import Detections
from supervision.dataset.formats.yolo import yolo_annotations_to_detections

from pipeline.common.errors import InputError
from pipeline.scans.scan import Mask, ScanEntry
from pipeline.scans.sources.annotated_source import AnnotatedSource, check_reach, mask_of
from pipeline.scans.sources.folders import faults_of, list_files, read_lines
from pipeline.scans.sources.labelled_set import LabelledSet, looks_like_labels
from pipeline.scans.sources.yolo_names import Names, PosesError, read_names
from pipeline.settings.scans import Unannotated

FORMS = "a class and a box, also with a confidence or track, or a class and 3 or more points"
WHOLE_NUMBER = re.compile(r"\d+(\.0*)?$")
RUNS = "runs"  # folder in which Ultralytics puts predictions and plots, by task
TASKS = ("classify", "detect", "obb", "pose", "segment")
EDGE = 0.01  # share of the image by which a box may reach over the edge


class YoloSource(AnnotatedSource):
    """Boxes and polygons in shares of the image. Images without a file of labels are normal."""

    format_rule: ClassVar[Unannotated] = "normal"
    _names: Names | None = None

    def read_labels(self, labelled_set: LabelledSet) -> None:
        """Pair images with text files; files of class names and lists of parts are no labels."""
        files = labelled_set.files
        run_files = [path for path in (*files.images, *files.others) if self._is_of_a_run(path)]
        labelled_set.ignored |= dict.fromkeys(run_files, "of Ultralytics' runs")
        texts = [path for path in files.ending_in(".txt") if path not in labelled_set.ignored]
        try:
            self._names, name_files = read_names(files)
        except InputError as error:
            if isinstance(error, PosesError) or any(map(looks_like_labels, texts)):
                raise
            self._names, name_files = {}, []  # a set of normal images only has no names
        # darknet's obj.data only repeats the paths of other files.
        labelled_set.annotations |= {*name_files, *files.ending_in(".data")}
        texts = [path for path in texts if path not in labelled_set.annotations]
        labelled_set.read_pairs(
            texts, lambda path: (name for _, name, _ in self._lines(path, None))
        )
        label_folders = {path.parent for path in labelled_set.annotations.difference(name_files)}
        labelled_set.ignore_texts_without_labels(label_folders)

    def _is_of_a_run(self, path: Path) -> bool:
        folders = path.relative_to(self.folder).parts[:2]
        return folders[0] == RUNS and folders[-1] in TASKS

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Yield the class and the mask of each line."""
        for path in entry.files[1:]:
            for number, name, detections in self._lines(path, size):
                with faults_of(f"{path}: line {number}"):
                    yield name, mask_of(detections, size)

    def _lines(
        self, path: Path, size: tuple[int, int] | None
    ) -> Iterator[tuple[int, str, Detections]]:
        """Yield number, class and object of each line; with masks only if `size` is given."""
        for number, line in enumerate(read_lines(path), 1):
            if not line:
                continue
            if self._names is None:  # another process listed the folder
                self._names, _ = read_names(list_files(self.folder))
            with faults_of(f"{path}: line {number}"):
                written = _box_or_polygon(line.split())
                is_polygon = len(written) > 5
                check_reach(map(float, written[1:]), (1, 1))
                detections = yolo_annotations_to_detections(
                    [" ".join(written)], size or (1, 1), with_masks=bool(size) and is_polygon
                )
                index = int(np.asarray(detections.class_id)[0])
                if index not in self._names:
                    raise ValueError(f"class {index}, expected one of {self._names}")
            yield number, self._names[index], detections


def _box_or_polygon(values: list[str]) -> list[str]:
    """Return a line's class and coordinates, without the confidence and track that tools add.

    Trackers write class, box or polygon, confidence and track. A track above 1 is a whole number
    that cannot be a coordinate. A box with confidence and track 0 or 1 has as many values as a
    triangle; it counts as a box if the box lies within the image.

    Raises:
        ValueError: the number of values fits neither a box nor a polygon.
    """
    name, *numbers = values
    if len(numbers) > 5 and WHOLE_NUMBER.match(numbers[-1]) and float(numbers[-1]) > 1:
        numbers.pop()
        if len(numbers) % 2 and 0 <= float(numbers[-1]) <= 1:
            numbers.pop()
    count = len(numbers)
    if count == 5 and not (WHOLE_NUMBER.match(numbers[4]) or 0 <= float(numbers[4]) <= 1):
        raise ValueError(f"{numbers[4]} after a box, expected a confidence from 0 to 1 or a track")
    if count in (4, 5) or (count == 6 and _is_tracked_box(numbers)):
        return [name, *numbers[:4]]
    if count < 6 or count % 2:
        raise ValueError(f"{count} values after the class fit no form: expected {FORMS}")
    return [name, *numbers]


def _is_tracked_box(numbers: list[str]) -> bool:
    """Return whether six values are a box, a confidence and track 0 or 1, not three points."""
    if numbers[5] not in ("0", "1"):
        return False
    x, y, width, height, confidence = map(float, numbers[:5])
    sides = (x - width / 2, y - height / 2, 1 - x - width / 2, 1 - y - height / 2)
    return min(sides) >= -EDGE and 0 <= confidence <= 1
