"""OPIXray and HiXray: a text file for each image, one object a line: ``image class box``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from supervision import Detections

from pipeline.common.errors import InputError
from pipeline.scans.scan import Mask, ScanEntry
from pipeline.scans.sources.annotated_source import AnnotatedSource, mask_of, require_pixels
from pipeline.scans.sources.folders import faults_of, read_lines
from pipeline.scans.sources.labelled_set import LabelledSet

FORM = "an image, a class, and xmin ymin xmax ymax in pixels"


class TextBoxSource(AnnotatedSource):
    """``train_image/`` and ``train_annotation/``, ``test_image/`` and ``test_annotation/``."""

    def read_labels(self, labelled_set: LabelledSet) -> None:
        """Pair images with text files by their names."""
        texts = labelled_set.files.ending_in(".txt")
        labelled_set.read_pairs(texts, lambda path: (name for _, name, _ in _boxes(path)))
        labelled_set.ignore_texts_without_labels({path.parent for path in labelled_set.annotations})

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Yield the class and the mask of each line."""
        for path in entry.files[1:]:
            for number, name, box in _boxes(path):
                with faults_of(f"{path}: line {number}"):
                    require_pixels(box)
                    yield name, mask_of(Detections(np.array([box])), size)


def _boxes(path: Path) -> Iterator[tuple[int, str, list[float]]]:
    """Yield number, class and box (xmin, ymin, xmax, ymax) of each line."""
    for number, line in enumerate(read_lines(path), 1):
        if not line:
            continue
        values = line.split()
        try:
            box = [float(value) for value in values[2:]]
        except ValueError:
            box = []
        if len(box) != 4:
            raise InputError(f"{path}: line {number}: {line!r}, expected {FORM}")
        yield number, values[1], box
