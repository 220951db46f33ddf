"""COCO: JSON files with images, categories and annotations, anywhere in the folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from supervision.dataset.formats.coco import coco_annotations_to_detections

from pipeline.common.errors import InputError
from pipeline.common.files import digest
from pipeline.scans.scan import Mask, ScanEntry
from pipeline.scans.sources.annotated_source import (
    AnnotatedSource,
    check_reach,
    check_size,
    mask_of,
    require_pixels,
)
from pipeline.scans.sources.coco_files import CocoImage, Record, read_coco_files
from pipeline.scans.sources.folders import faults_of, list_files
from pipeline.scans.sources.labelled_set import LabelledSet, Labels
from pipeline.scans.sources.pairing import part_in_name


class CocoSource(AnnotatedSource):
    """Boxes, polygons and run lengths. A listed image without annotations is normal."""

    _images: dict[Path, CocoImage] | None = None

    def read_labels(self, labelled_set: LabelledSet) -> None:
        """Read the labels of each image that a JSON file lists; a path's end finds its image."""
        if self.unannotated == "normal" and not labelled_set.files.ending_in(".json"):
            self._images = {}  # a set of normal images only
            return
        self._images = read_coco_files(labelled_set)
        with_objects = {item.path for item in self._images.values() if item.objects}
        for image, item in self._images.items():
            names = frozenset(name for name, _ in item.objects)
            records = digest([item.name, item.size, item.objects])
            part = part_in_name(item.path.stem)
            if item.path not in with_objects:
                labelled_set.notes[
                    f"normal images of {item.path}, which has no annotation at all"
                ] += 1
            labelled_set.scans[image] = Labels(names, records=records, part=part)
            boxes = sum(_is_box_alone(record) for _, record in item.objects)
            if boxes:
                labelled_set.notes["objects whose polygon is a point or a box: bbox was taken"] += (
                    boxes
                )

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Yield the class and mask of each annotation of a scan."""
        if self._images is None:  # this process has not listed the folder
            files = list_files(self.folder)
            self._images = read_coco_files(LabelledSet(files)) if files.ending_in(".json") else {}
        item = self._images.get(entry.files[0])
        if item is None and not entry.classes:
            return  # no file lists the image, so `unannotated` made it normal
        if item is None:
            raise InputError(f"{entry.files[0]}: no longer annotated: run `dvc repro scans`")
        with faults_of(f"{item.path}: {item.name}"):
            check_size(item.size or size, size)
        for name, record in item.objects:
            with faults_of(f"{item.path}: annotation {record.get('id')}"):
                yield name, _mask(record, size)


def _mask(record: Record, size: tuple[int, int]) -> Mask:
    segmentation = None if _is_box_alone(record) else record.get("segmentation")
    if isinstance(segmentation, dict):
        if not segmentation["counts"]:
            raise ValueError("no run lengths")
        check_size(tuple(segmentation["size"][::-1]), size)
    elif segmentation:
        polygons = _polygons(segmentation)
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
            raise ValueError("an odd polygon, expected x and y of 3 points or more")
        values = [value for polygon in polygons for value in polygon]
        check_reach(values, size)
        require_pixels(values)
        x, y = (np.array(values[axis::2], dtype=np.float64) for axis in (0, 1))
        _check_extent((x.min(), y.min(), x.max(), y.max()), record["bbox"])
    else:
        require_pixels(record["bbox"])
        attributes = record.get("attributes")  # CVAT's; its bbox is the box before the rotation
        if isinstance(attributes, dict) and attributes.get("rotation"):
            raise ValueError("a rotated box: draw it as a polygon")
    with_mask = bool(segmentation)
    detections = coco_annotations_to_detections([record], size, with_mask, use_iscrowd=False)
    mask = mask_of(detections, size)
    if isinstance(segmentation, dict):
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        _check_extent((left, top, left + width, top + height), record["bbox"])
    return mask


def _is_box_alone(record: Record) -> bool:
    """Return whether a polygon is empty, a point or two corners, as some tools write for a box."""
    segmentation = record.get("segmentation")
    if not isinstance(segmentation, list) or not segmentation:
        return False
    return any(len(polygon) in (0, 2, 4) for polygon in _polygons(segmentation))


def _check_extent(extent: tuple[float, float, float, float], bbox: Sequence[float]) -> None:
    """Refuse an outline or a mask that does not lie where the annotation's box lies.

    Args:
        extent: its xmin, ymin, xmax, ymax.
        bbox: x, y, width, height.

    Raises:
        ValueError: intersection over union of both is below 0.5.
    """
    left, top, width, height = map(float, bbox)
    low, high = np.array(extent[:2]), np.array(extent[2:])
    corner, other = np.array([left, top]), np.array([left + width, top + height])
    shared = np.prod(np.clip(np.minimum(high, other) - np.maximum(low, corner) + 1, 0, None))
    covered = np.prod(high - low + 1) + np.prod(other - corner + 1) - shared
    if shared < covered / 2:
        raise ValueError("segmentation and bbox lie in different places: correct one of them")


def _polygons(segmentation: list[Any]) -> list[list[Any]]:
    """Return the polygons of an annotation; one polygon may lack the list around it."""
    nested = [polygon for polygon in segmentation if isinstance(polygon, list)]
    return nested if nested else [segmentation]
