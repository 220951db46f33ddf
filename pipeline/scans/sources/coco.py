"""COCO: JSON files with images, categories and annotations, anywhere in the folder."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import cv2
import numpy as np
from supervision.dataset.formats.coco import coco_annotations_to_detections

from pipeline.common.errors import InputError
from pipeline.common.files import digest, read_json
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.classes import ClassMap
from pipeline.scans.scan import Mask, Part, ScanEntry, SetFiles
from pipeline.scans.sources.annotated_source import (
    AnnotatedSource,
    check_reach,
    check_size,
    mask_of,
    require_pixels,
)
from pipeline.scans.sources.folders import ALL_NORMAL, list_files
from pipeline.scans.sources.labelled_set import LabelledSet, Labels
from pipeline.scans.sources.pairing import (
    by_end,
    find_by_end,
    loose_stem,
    part_in_name,
    part_of,
    part_of_folders,
)
from pipeline.settings.scans import Unannotated

Record = dict[str, Any]  # one JSON object
T = TypeVar("T")
KEYS = ("annotations", "categories", "images")  # of a COCO file

# Errors from records that break COCO's format: wrong types, missing keys, broken run lengths.
WRONG_SHAPE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


@dataclass
class Annotated:
    """One image of a COCO file.

    Attributes:
        path: the JSON file.
        name: the image's `file_name`, a path.
        size: (width, height) as annotated; None if the file gives no size.
        objects: class name and record of each annotation.
    """

    path: Path
    name: str
    size: tuple[int, int] | None
    objects: list[tuple[str, Record]] = field(default_factory=list)


class CocoSource(AnnotatedSource):
    """Boxes, polygons and run lengths. A listed image without annotations is normal."""

    def __init__(
        self, folder: Path, classes: ClassMap, unannotated: Unannotated | None = None
    ) -> None:
        super().__init__(folder, classes, unannotated)
        self._found: dict[Path, Annotated] | None = None

    def read_labels(self, labelled_set: LabelledSet) -> None:
        """Read the labels of each image that a JSON file lists; a path's end finds its image."""
        if self.unannotated == "normal" and not labelled_set.files.ending_in(".json"):
            self._found = {}  # a set of normal images only
            return
        self._found = _read_folder(labelled_set)
        with_objects = {item.path for item in self._found.values() if item.objects}
        for image, item in self._found.items():
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
        if self._found is None:  # this process has not listed the folder
            files = list_files(self.folder)
            self._found = _read_folder(LabelledSet(files)) if files.ending_in(".json") else {}
        found = self._found.get(entry.files[0])
        if found is None and not entry.classes:
            return  # no file lists the image, so `unannotated` made it normal
        if found is None:
            raise InputError(f"{entry.files[0]}: no longer annotated: run `dvc repro scans`")
        try:
            check_size(found.size or size, size)
        except ValueError as error:
            raise InputError(f"{found.path}: {found.name}: {error}") from None
        for name, record in found.objects:
            try:
                yield name, _mask(record, size)
            except WRONG_SHAPE as error:
                raise InputError(
                    f"{found.path}: annotation {record.get('id')}: {_said(error)}"
                ) from None


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
    with_mask = bool(segmentation)
    found = coco_annotations_to_detections([record], size, with_mask, use_iscrowd=False)
    mask = mask_of(found, size)
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
        raise ValueError("segmentation and bbox are of different places: correct one of them")


def _polygons(segmentation: list[Any]) -> list[list[Any]]:
    """Return the polygons of an annotation; one polygon may lack the list around it."""
    nested = [polygon for polygon in segmentation if isinstance(polygon, list)]
    return nested if nested else [segmentation]


def _read_folder(labelled_set: LabelledSet) -> dict[Path, Annotated]:
    """Return the images that the JSON files list; add faults to `labelled_set`."""
    files = labelled_set.files
    listed = [path for path in files.ending_in(".json") if _may_be_coco(path)]
    others = [path for path in files.ending_in(".json") if path not in listed]
    if not listed:
        raise InputError(
            f"{files.folder}: no JSON file of COCO in it: expected its annotations, {ALL_NORMAL}"
        )
    labelled_set.ignored |= dict.fromkeys(others, "JSON, but not COCO's")
    labelled_set.annotations.update(listed)
    images = ImageFinder(files)
    items: dict[Path, Annotated] = {}
    for path in listed:
        try:
            kept, refused, bad = _read_file(path)
        except InputError as error:
            labelled_set.bad.append(as_bad(path, error))
            labelled_set.unreadable.append(path)
            continue
        labelled_set.bad += bad
        labelled_set.refused.update(filter(None, (images.find(item) for item in refused)))
        for item in kept:
            image = images.find(item)
            if image is None:
                likely = images.of_name(item)
                labelled_set.refused.update(likely)
                reason = (
                    f"could be any of {len(likely)}, such as {likely[0]}"
                    if likely
                    else ("is not in the folder")
                )
                labelled_set.bad.append(
                    BadInput(str(path), f"image {item.name!r} {reason}: correct its file_name")
                )
            elif items.setdefault(image, item).objects != item.objects:
                reason = f"image {item.name!r} is annotated twice, and differently: keep one"
                labelled_set.refuse(image, BadInput(str(path), reason))
    return {image: item for image, item in items.items() if image not in labelled_set.refused}


class ImageFinder:
    """Finds the image files that COCO files list."""

    def __init__(self, files: SetFiles) -> None:
        self._folder = files.folder
        self._images = frozenset(files.images)
        self._ends = by_end(files.images)
        self._by_stem: dict[str, list[Path]] = {}
        for path in files.images:
            self._by_stem.setdefault(loose_stem(path), []).append(path)

    def find(self, item: Annotated) -> Path | None:
        """Return the image at the item's path, relative to the JSON file, or with this path's end.

        Of several images with this end, it returns the only one in or below the JSON file's folder,
        or in the part of the set that the JSON file's name contains. For an absolute path, or a
        path with "..", it returns the image whose path shares the longest end. An image of another
        part than the item's is not returned.
        """
        written = PurePosixPath(item.name.replace("\\", "/"))
        found = self._find(item, written)
        if found is None:
            return None
        parts = {self._part(item, written), part_of(self._folder, found)} - {None}
        return found if len(parts) < 2 else None

    def _part(self, item: Annotated, written: PurePosixPath) -> Part | None:
        """Return the part that the written path, the JSON file's folder or its name says."""
        return (
            part_of_folders(reversed(written.parts[:-1]))
            or part_of(self._folder, item.path)
            or part_in_name(item.path.stem)
        )

    def _find(self, item: Annotated, written: PurePosixPath) -> Path | None:
        direct = Path(os.path.normpath(item.path.parent / written))
        if direct in self._images:
            return direct
        if written.is_absolute() or ".." in written.parts or ":" in written.parts[0]:
            return find_by_end(self._ends, item.name)
        only = self._ends.get("/".join(written.parts), direct)
        if only != direct and only is not None:
            return only
        matching = [
            path
            for path in self.of_name(item)
            if path.parts[-len(written.parts) :] == written.parts
        ]
        part = part_in_name(item.path.stem)
        near = [path for path in matching if path.is_relative_to(item.path.parent)]
        if len(near) != 1:
            near = [path for path in matching if part and part_of(self._folder, path) == part]
        return near[0] if len(near) == 1 else None

    def of_name(self, item: Annotated) -> list[Path]:
        """Return the images with the item's name, apart from case and suffix."""
        return self._by_stem.get(loose_stem(Path(item.name.replace("\\", "/"))), [])


def _may_be_coco(path: Path) -> bool:
    """Return whether a JSON file has one of `KEYS`, or cannot be read."""
    try:
        content = read_json(path)
    except (OSError, InputError):
        return True
    return isinstance(content, dict) and not content.keys().isdisjoint(KEYS)


def _read_file(path: Path) -> tuple[list[Annotated], list[Annotated], list[BadInput]]:
    """Return a COCO file's images, its images with an unusable annotation, and its faults."""
    try:
        content = read_json(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        names = _by_id((item["id"], str(item["name"]).strip()) for item in content["categories"])
        images = _by_id((item["id"], _annotated(path, item)) for item in content["images"])
        return _place(path, content["annotations"], images, names)
    except WRONG_SHAPE as error:
        raise InputError(f"{path}: not laid out as COCO: {_said(error)}") from None


def _by_id(pairs: Iterable[tuple[object, T]]) -> dict[str, T]:
    """Return items by their ids as text: some tools mix numbers and text for the same id."""
    found: dict[str, T] = {}
    for number, item in pairs:
        if found.setdefault(_id(number), item) is not item:
            raise ValueError(f"id {number} stands for two")
    return found


def _id(number: object) -> str:
    """Return an id as text: 8, 8.0 and "8" are the same id."""
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _annotated(path: Path, record: Record) -> Annotated:
    name = str(record["file_name"]).strip()
    if not PurePosixPath(name.replace("\\", "/")).name:
        raise ValueError(f"image {record['id']} has no file name")
    width, height = record.get("width"), record.get("height")
    if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
        return Annotated(path, name, (width, height))
    return Annotated(path, name, None)


def _place(
    path: Path, records: list[Record], images: dict[str, Annotated], names: dict[str, str]
) -> tuple[list[Annotated], list[Annotated], list[BadInput]]:
    bad = []
    refused = set()
    some_lost = False
    for record in records:
        image, category = _id(record["image_id"]), _id(record["category_id"])
        if image not in images:
            some_lost = True
            reason = f"annotation {record.get('id')}: unknown image {image}: remove it, or add that"
            bad.append(BadInput(str(path), reason))
        elif category not in names:
            reason = f"annotation {record.get('id')} of {images[image].name}: "
            bad.append(BadInput(str(path), f"{reason}unknown category {category}"))
            refused.add(image)
        else:
            images[image].objects.append((names[category], record))
    if some_lost:  # the annotation may belong to any image without objects
        refused |= {number for number, item in images.items() if not item.objects}
    kept = [item for number, item in images.items() if number not in refused]
    return kept, [images[number] for number in sorted(refused)], bad


def _said(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
