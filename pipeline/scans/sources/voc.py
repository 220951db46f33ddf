"""Pascal VOC: an XML file of objects for each image, in a folder of its own or beside the image."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import parse
from supervision.dataset.formats.pascal_voc import detections_from_xml_obj

from pipeline.common.errors import InputError
from pipeline.scans.scan import Mask, ScanEntry
from pipeline.scans.sources.annotated_source import (
    AnnotatedSource,
    check_reach,
    check_size,
    mask_of,
    require_pixels,
)
from pipeline.scans.sources.folders import faults_of, reading
from pipeline.scans.sources.labelled_set import LabelledSet
from pipeline.scans.sources.pairing import loose_stem

MASK_FOLDER = re.compile(r"(^|/)Segmentation(Class|Object)")  # tools append to these names
OBJECT_TAGS = ("bndbox", "object", "points", "polygon", "robndbox")  # in other formats too


class VocSource(AnnotatedSource):
    """Boxes, and polygons that some tools add to boxes. Pixel coordinates count from 1."""

    def read_labels(self, labelled_set: LabelledSet) -> None:
        """Pair images with XML files by their names."""
        masks = [
            image
            for image in labelled_set.files.images
            if MASK_FOLDER.search(str(image.relative_to(self.folder).parent))
        ]
        labelled_set.ignored |= dict.fromkeys(masks, "VOC's segmentation masks; its boxes are read")
        labelled_set.read_pairs(
            labelled_set.files.ending_in(".xml"),
            lambda path: (_name(path, item) for item in _objects(path, _read(path))),
        )
        in_masks = {loose_stem(mask) for mask in masks}
        for image, labels in list(labelled_set.scans.items()):
            if not labels.names and loose_stem(image) in in_masks:
                del labelled_set.scans[image]  # its objects are in the mask alone, as CVAT writes
        with_boxes = {loose_stem(image) for image in (*labelled_set.scans, *labelled_set.refused)}
        for mask in masks:
            if loose_stem(mask) not in with_boxes:
                del labelled_set.ignored[mask]  # `decide_unlabelled` refuses its image
        labelled_set.unreadable += [path for path in labelled_set.orphans if not _is_readable(path)]

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Yield the class and the mask of each ``<object>``."""
        for path in entry.files[1:]:
            root = _read(path)
            _check_size(path, root, size)
            for number, item in enumerate(_objects(path, root), 1):
                if item.find("bndbox") is None:
                    raise InputError(
                        f"{path}: object {number}: no <bndbox>: export upright boxes as Pascal VOC"
                    )
                if any(_turns(attribute) for attribute in item.iterfind("attributes/attribute")):
                    raise InputError(
                        f"{path}: object {number}: a rotated box: export it as a polygon, in COCO"
                    )
                name, alone = _name(path, item), Element("annotation")
                alone.append(item)
                with faults_of(f"{path}: object {number}"):
                    corners = item.iterfind("polygon/*")
                    check_reach((float(corner.text or 0) for corner in corners), size)
                    require_pixels(float(edge.text or 0) for edge in item.iterfind("bndbox/*"))
                    yield name, mask_of(detections_from_xml_obj(alone, [], size)[0], size)


def _is_readable(path: Path) -> bool:
    try:
        _read(path)
    except InputError:
        return False
    return True


def _read(path: Path) -> Element:
    with reading(path):
        try:
            root = parse(path, forbid_dtd=True).getroot()  # a DTD can repeat things without end
        except (ParseError, LookupError, ValueError) as error:  # entities, encodings
            reason = f"{type(error).__name__}: {error}: save it as XML in UTF-8"
            raise InputError(f"{path}: not XML that is read: {reason}") from None
    if root is None or root.tag != "annotation":
        tag = "nothing" if root is None else f"<{root.tag}>"
        raise InputError(
            f"{path}: not Pascal VOC: expected an <annotation>, got {tag}: export the set as "
            "Pascal VOC, COCO or YOLO"
        )
    return root


def _objects(path: Path, root: Element) -> list[Element]:
    objects = list(root.findall("object"))
    others = [item.tag for item in root.iter() if item.tag.lower() in OBJECT_TAGS]
    if not objects and others:
        raise InputError(
            f"{path}: no <object> directly below <annotation>, but a <{others[0]}>: expected "
            "Pascal VOC"
        )
    for number, item in enumerate(objects, 1):
        if len(item.findall("bndbox")) > 1:
            raise InputError(
                f"{path}: object {number}: more than one <bndbox>: write an <object> for each"
            )
    return objects


def _check_size(path: Path, root: Element, size: tuple[int, int]) -> None:
    """Compare the image with ``<size>``; tools that do not know it leave it out, or write 0."""
    written = [
        (root.findtext(f"size/{side}") or "").strip().removesuffix(".0")
        for side in ("width", "height")
    ]
    if all(value.isdecimal() and value.strip("0") for value in written):
        with faults_of(path):  # also that a number has thousands of digits
            check_size((int(written[0]), int(written[1])), size)


def _turns(attribute: Element) -> bool:
    """Return whether an attribute says that a box is rotated, as CVAT writes it."""
    value = attribute.findtext("value") or ""
    return attribute.findtext("name") == "rotation" and value.strip("0.") != ""


def _name(path: Path, item: Element) -> str:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{path}: an <object> without <name>: name its class")
    return name
