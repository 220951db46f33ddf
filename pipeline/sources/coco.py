"""COCO: JSON files of images, categories and annotations, anywhere in the folder."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervision.dataset.formats.coco import coco_annotations_to_detections

from pipeline.bad_input import BadInput, as_bad
from pipeline.errors import InputError
from pipeline.files import digest
from pipeline.sources.base import Mask, ScanEntry
from pipeline.sources.classes import ClassMap
from pipeline.sources.detections import DetectionSource, Labels, check_reach, mask_of
from pipeline.sources.folders import find_files, find_images

Record = dict[str, Any]  # one JSON object

# What comes of records that are not as COCO has them: wrong types, missing keys, broken runs.
WRONG_SHAPE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


@dataclass
class Annotated:
    """One image of a COCO file.

    Attributes:
        path: the JSON file.
        name: of the image, as a path.
        size: (width, height) as annotated.
        objects: class name and record of each annotation.
    """

    path: Path
    name: str
    size: tuple[int, int]
    objects: list[tuple[str, Record]] = field(default_factory=list)


class CocoSource(DetectionSource):
    """Boxes, polygons and run lengths. Images that no JSON file lists are left alone."""

    def __init__(self, folder: Path, classes: ClassMap) -> None:
        super().__init__(folder, classes)
        self._found: dict[Path, Annotated] | None = None

    def labels(self, images: Sequence[Path]) -> tuple[dict[Path, Labels], list[BadInput]]:
        """Each image that a JSON file lists, found by the end of its path."""
        self._found, bad = _read_folder(self.folder, images)
        scans = {
            image: Labels(
                frozenset(name for name, _ in found.objects),
                records=digest([found.name, found.size, found.objects]),
            )
            for image, found in self._found.items()
        }
        return scans, bad

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Each annotation by itself."""
        if self._found is None:  # in another process than the one that listed the folder
            self._found, _ = _read_folder(self.folder, find_images(self.folder)[0])
        found = self._found.get(entry.files[0])
        if found is None:
            raise InputError(f"{entry.files[0]}: no longer annotated: run `dvc repro scans`")
        if found.size != size:
            shown = "{}x{}, not {}x{}".format(*size, *found.size)
            raise InputError(f"{found.path}: {found.name} is {shown}: annotate it as it is")
        for name, record in found.objects:
            try:
                yield name, _mask(record, size)
            except WRONG_SHAPE as error:
                raise InputError(
                    f"{found.path}: annotation {record.get('id')}: {_said(error)}"
                ) from None


def _mask(record: Record, size: tuple[int, int]) -> Mask:
    segmentation = record.get("segmentation")
    if isinstance(segmentation, dict):
        if not segmentation["counts"] or tuple(segmentation["size"]) != size[::-1]:
            raise ValueError(f"run lengths of size {segmentation['size']}, expected {size[::-1]}")
    elif segmentation:
        polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
            raise ValueError("an empty or odd polygon, expected x and y of 3 points or more")
        check_reach((value for polygon in polygons for value in polygon), size)
    with_mask = bool(segmentation)
    return mask_of(
        coco_annotations_to_detections([record], size, with_mask, use_iscrowd=False), size
    )


def _read_folder(
    folder: Path, images: Sequence[Path]
) -> tuple[dict[Path, Annotated], list[BadInput]]:
    paths, bad = find_files(folder, (".json",))
    if not paths:
        raise InputError(f"{folder}: no JSON file in it: expected COCO's annotations")
    by_name: dict[str, list[Path]] = {}
    for path in images:
        by_name.setdefault(path.name, []).append(path)
    found: dict[Path, Annotated] = {}
    for path in paths:
        try:
            listed, more = _read_file(path)
        except InputError as error:
            bad.append(as_bad(path, error))
            continue
        bad += more
        for item in listed:
            image = _image_file(by_name, item)
            if image is None:
                reason = f"image {item.name!r} is not in the folder, or is there twice"
                bad.append(BadInput(str(path), reason))
            elif found.setdefault(image, item) is not item:
                bad.append(BadInput(str(path), f"image {item.name!r} is annotated twice"))
    return found, bad


def _image_file(by_name: dict[str, list[Path]], item: Annotated) -> Path | None:
    """The image whose path ends in the item's; of several, the one beside or below its file."""
    parts = Path(item.name).parts
    matching = [path for path in by_name.get(parts[-1], []) if path.parts[-len(parts) :] == parts]
    near = [path for path in matching if path.is_relative_to(item.path.parent)]
    best = near if len(matching) > 1 else matching
    return best[0] if len(best) == 1 else None


def _read_file(path: Path) -> tuple[list[Annotated], list[BadInput]]:
    """The images of a COCO file; those with an annotation that cannot be placed are bad."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    try:
        names = {item["id"]: str(item["name"]) for item in content["categories"]}
        images = {item["id"]: _annotated(path, item) for item in content["images"]}
        return _place(path, content["annotations"], images, names)
    except WRONG_SHAPE as error:
        raise InputError(f"{path}: not laid out as COCO: {_said(error)}") from None


def _annotated(path: Path, record: Record) -> Annotated:
    name = str(record["file_name"])
    if not Path(name).name:
        raise ValueError(f"image {record['id']} has no file name")
    return Annotated(path, name, (record["width"], record["height"]))


def _place(
    path: Path, records: list[Record], images: dict[int, Annotated], names: dict[int, str]
) -> tuple[list[Annotated], list[BadInput]]:
    bad = []
    refused = set()
    for record in records:
        image, category = record["image_id"], record["category_id"]
        if image not in images:
            reason = f"annotation {record.get('id')}: unknown image {image}"
            bad.append(BadInput(str(path), reason))
        elif category not in names:
            reason = f"annotation {record.get('id')} of {images[image].name}: "
            bad.append(BadInput(str(path), f"{reason}unknown category {category}"))
            refused.add(image)
        else:
            images[image].objects.append((names[category], record))
    return [item for number, item in images.items() if number not in refused], bad


def _said(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
