"""Reads COCO files, and finds the images that they list."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pipeline.common.errors import InputError
from pipeline.common.files import read_json
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.scan import Part, SetFiles
from pipeline.scans.sources.annotated_source import annotated_size
from pipeline.scans.sources.folders import ALL_NORMAL, faults_of, reading
from pipeline.scans.sources.labelled_set import LabelledSet
from pipeline.scans.sources.pairing import (
    by_end,
    find_by_end,
    grouped,
    loose_stem,
    part_in_name,
    part_of,
    part_of_folders,
)

Record = dict[str, Any]  # one JSON object
T = TypeVar("T")
KEYS = ("annotations", "categories", "images")  # of a COCO file


@dataclass
class CocoImage:
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


def read_coco_files(labelled_set: LabelledSet) -> dict[Path, CocoImage]:
    """Return the images that the JSON files list, by their paths; add faults to `labelled_set`.

    Raises:
        InputError: the set has no COCO file.
    """
    files = labelled_set.files
    listed = [path for path in files.ending_in(".json") if _may_be_coco(path)]
    image_names = {loose_stem(image) for image in files.images}
    others = [  # but not files with an image's name: they may be its labels in another format
        path
        for path in files.ending_in(".json")
        if path not in listed and loose_stem(path) not in image_names
    ]
    if not listed:
        raise InputError(
            f"{files.folder}: no JSON file of COCO in it: expected its annotations, {ALL_NORMAL}"
        )
    labelled_set.ignored |= dict.fromkeys(others, "JSON, but not COCO's")
    labelled_set.annotations.update(listed)
    images = ImageFinder(files)
    items: dict[Path, CocoImage] = {}
    for path in listed:
        try:
            usable, refused, bad = _read_file(path)
        except InputError as error:
            labelled_set.bad.append(as_bad(path, error))
            labelled_set.unreadable.append(path)
            continue
        labelled_set.bad += bad
        labelled_set.refused.update(filter(None, (images.find(item) for item in refused)))
        for item in usable:
            image = images.find(item)
            if image is None:
                likely = images.of_name(item)
                labelled_set.refused.update(likely)
                reason = "is not in the folder: correct its file_name"
                if len(likely) == 1:
                    reason = f"is not {likely[0]}, whose case, suffix or part differs: rename one"
                elif likely:
                    reason = (
                        f"could be any of {len(likely)}, such as {likely[0]}: correct its file_name"
                    )
                labelled_set.bad.append(BadInput(str(path), f"image {item.name!r} {reason}"))
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
        self._by_stem = grouped(files.images, loose_stem)

    def find(self, item: CocoImage) -> Path | None:
        """Return the image at the item's path, relative to the JSON file, or with this path's end.

        Of several images with this end, it returns the only one in or below the JSON file's folder,
        or in the part of the set that the JSON file's name contains. For an absolute path, or a
        path with "..", it returns the image whose path shares the longest end. An image of another
        part than the item's is not returned.
        """
        written = PurePosixPath(item.name.replace("\\", "/"))
        image = self._find(item, written)
        if image is None:
            return None
        parts = {self._part(item, written), part_of(self._folder, image)} - {None}
        return image if len(parts) < 2 else None

    def _part(self, item: CocoImage, written: PurePosixPath) -> Part | None:
        """Return the part that the written path, the JSON file's folder or its name says."""
        return (
            part_of_folders(reversed(written.parts[:-1]))
            or part_of(self._folder, item.path)
            or part_in_name(item.path.stem)
        )

    def _find(self, item: CocoImage, written: PurePosixPath) -> Path | None:
        direct = Path(os.path.normpath(item.path.parent / written))
        if direct in self._images:
            return direct
        if written.is_absolute() or ".." in written.parts or ":" in written.parts[0]:
            return find_by_end(self._ends, item.name)
        only = self._ends.get("/".join(written.parts))
        if only is not None:
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

    def of_name(self, item: CocoImage) -> list[Path]:
        """Return the images with the item's name, apart from case and suffix."""
        return self._by_stem.get(loose_stem(Path(item.name.replace("\\", "/"))), [])


def _may_be_coco(path: Path) -> bool:
    """Return whether a JSON file has one of `KEYS`, or cannot be read."""
    try:
        content = read_json(path)
    except (OSError, InputError):
        return True
    return isinstance(content, dict) and not content.keys().isdisjoint(KEYS)


def _read_file(path: Path) -> tuple[list[CocoImage], list[CocoImage], list[BadInput]]:
    """Return a COCO file's images, its images with an unusable annotation, and its faults."""
    with reading(path):
        content = read_json(path)
    with faults_of(f"{path}: not laid out as COCO"):
        names = _by_id((item["id"], str(item["name"]).strip()) for item in content["categories"])
        images = _by_id((item["id"], _coco_image(path, item)) for item in content["images"])
        return _assign_annotations(path, content["annotations"], images, names)


def _by_id(pairs: Iterable[tuple[object, T]]) -> dict[str, T]:
    """Return items by their ids as text: some tools mix numbers and text for the same id."""
    items: dict[str, T] = {}
    for number, item in pairs:
        if items.setdefault(_id(number), item) is not item:
            raise ValueError(f"id {number} is used twice")
    return items


def _id(number: object) -> str:
    """Return an id as text: 8, 8.0 and "8" are the same id."""
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _coco_image(path: Path, record: Record) -> CocoImage:
    name = str(record["file_name"]).strip()
    if not PurePosixPath(name.replace("\\", "/")).name:
        raise ValueError(f"image {record['id']} has no file name")
    return CocoImage(path, name, annotated_size(record.get("width"), record.get("height")))


def _assign_annotations(
    path: Path, records: list[Record], images: dict[str, CocoImage], names: dict[str, str]
) -> tuple[list[CocoImage], list[CocoImage], list[BadInput]]:
    """Add each annotation to its image; return usable images, refused images and faults."""
    bad = []
    refused = set()
    some_unassigned = False
    for record in records:
        image, category = _id(record["image_id"]), _id(record["category_id"])
        if image not in images:
            some_unassigned = True
            reason = f"annotation {record.get('id')}: unknown image {image}: "
            advice = f"remove the annotation, or add image {image}"
            bad.append(BadInput(str(path), reason + advice))
        elif category not in names:
            reason = f"annotation {record.get('id')} of {images[image].name}: "
            advice = "add it to categories, or correct category_id"
            bad.append(BadInput(str(path), f"{reason}unknown category {category}: {advice}"))
            refused.add(image)
        else:
            images[image].objects.append((names[category], record))
    empty = {
        number: item.name
        for number, item in images.items()
        if not item.objects and number not in refused
    }
    if some_unassigned and empty:  # the annotation may belong to any image without objects
        reason = f"{len(empty)} images without objects, such as {next(iter(empty.values()))}: "
        advice = "annotations of unknown images may be theirs"
        bad.append(BadInput(str(path), reason + advice, len(empty)))
        refused |= empty.keys()
    usable = [item for number, item in images.items() if number not in refused]
    return usable, [images[number] for number in sorted(refused)], bad
