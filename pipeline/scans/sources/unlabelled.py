"""Decides whether images without labels count as normal or as bad.

An image is not normal if its labels may be in a file that was not read: in another format, in an
archive, in a table, or in a file that cannot be read.
"""

import mmap
import re
from collections.abc import Iterable
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput
from pipeline.scans.sources.folders import DVC_FILE
from pipeline.scans.sources.labelled_set import NO_LABELS, LabelledSet, Labels, looks_like_labels
from pipeline.scans.sources.pairing import LABEL_WORDS, loose_stem, words_of
from pipeline.scans.sources.threat_tables import images_beside_boxes, images_in_tables
from pipeline.settings.scans import Unannotated

TAKEN_FOR_NORMAL = "images without annotation, taken for normal (scans.unannotated)"
TEXTS = (".csv", ".json", ".tsv", ".txt", ".xml")
ARCHIVES = (".7z", ".gz", ".rar", ".tar", ".tgz", ".zip")
# Patterns in files that hold the labels of many images, by suffix.
JSON_LABELS = re.compile(
    rb'"(?:annotations|(?:b|bounding_?)?box(?:es)?|box2d|detections|instances|objects?'
    rb"|polygons|predictions|regions|segmentation|shapes"
    rb'|(?:brush|ellipse|keypoint|polygon|rectangle)labels)"\s*:\s*[\[{]\s*[\[{"\d]'
    rb'|"labels?"\s*:\s*(?:\[\s*\{|\{\s*")'
)
XML_LABELS = re.compile(
    rb"<(?:bndbox|box|ellipse|mask|object|points|polygon|polyline|robndbox|tag\s+label=)",
    re.IGNORECASE,
)
LABELS_INSIDE = {**dict.fromkeys((".json", ".jsonl", ".ndjson"), JSON_LABELS), ".xml": XML_LABELS}
# Of the path to a folder.
MASK_FOLDER = re.compile(
    r"(^|[\W_])masks?([\W_]|$)|ground(_|[^\w/])?truths?|segmentation(class|object)", re.IGNORECASE
)
NAMES_OF_LABELS = ("annotation", "gt", "label", "seg", "segmentation")
LABEL_FOLDERS = {f"{name}{end}" for name in NAMES_OF_LABELS for end in ("", "s")}
MASK_NAME = re.compile(r"[_\-. ](mask|gt|seg|segmentation)$|^mask[_\-]")
MASK = "a mask, which this format does not read"
TABLES = (".csv", ".tsv", ".txt")


def decide_unlabelled(
    labelled_set: LabelledSet,
    choice: Unannotated | None,
    format_rule: Unannotated,
    threat_classes: Iterable[str],
) -> None:
    """Refuse labels without an image, and take images without labels for normal or bad.

    Args:
        labelled_set: the labels that were read; the decisions are added to it.
        choice: the user's choice for images without labels (`scans.unannotated`), or None.
        format_rule: used if `choice` is None and no other file may hold labels.
        threat_classes: the abnormal classes, by the set's own names.

    Raises:
        InputError: no image has labels, though there are files of labels.
    """
    _require_labels(labelled_set)
    labelled_set.annotations.update(labelled_set.orphans)
    labelled_set.bad += [
        BadInput(str(path), "labels of no image, or of one with other labels: rename or remove it")
        for path in labelled_set.orphans
    ]
    normal_by_default = choice is None and format_rule == "normal"
    _refuse_by_name(labelled_set, threat_classes, boxes=normal_by_default)
    if normal_by_default:
        _refuse_copies(labelled_set)
    images = labelled_set.unlabelled_images()
    if not images:
        return
    suspects = [*labelled_set.unreadable]
    if choice is None:
        suspects += labelled_set.orphans
        suspects += _unreadable_label_files(labelled_set)
        suspects += _foreign_labels(labelled_set)
    if not suspects and (choice or format_rule) == "normal":
        labelled_set.scans |= dict.fromkeys(images, Labels(frozenset()))
        labelled_set.notes[TAKEN_FOR_NORMAL] = len(images)
        return
    advice = "annotate them, or set scans.unannotated to normal if they hold no threat"
    if suspects:
        advice = f"their labels may be in {suspects[0]}: mend or remove {suspects[0]}, or {advice}"
    labelled_set.refuse_together(
        images, f"images without annotation, such as {images[0]}: {advice}"
    )


def _require_labels(labelled_set: LabelledSet) -> None:
    """Refuse a set in which no image has labels, but which has files of labels."""
    if labelled_set.scans or labelled_set.refused:
        return
    files = labelled_set.files
    label_files = labelled_set.orphans or _foreign_labels(labelled_set)
    if label_files and not files.images:
        raise InputError(
            f"{files.folder}: labels, such as {label_files[0]}, but no image that is read: "
            f"{files.bad[0].file}: {files.bad[0].reason}"
        )
    if label_files:
        raise InputError(
            f"{files.folder}: no image has labels, though there are {len(label_files)} files "
            f"of labels, such as {label_files[0]}: give labels the names of their images, or set "
            "scans.source to their format"
        )


def _refuse_by_name(
    labelled_set: LabelledSet, threat_classes: Iterable[str], *, boxes: bool
) -> None:
    """Refuse images without labels if a file of labels that was not read has the image's name.

    Also images that a row of a table calls a threat or, if `boxes`, names beside a box.
    """
    unread = labelled_set.unread_files()
    folder = labelled_set.files.folder
    label_files = [path for path in unread if _may_be_labels_of_one(folder, path)]
    label_files += [*labelled_set.orphans, *_unreadable_label_files(labelled_set)]
    masks = _masks(labelled_set)
    labelled_set.ignored |= dict.fromkeys(masks, MASK)
    names = {_name_of_image(path): path for path in (*label_files, *masks)}
    for image in labelled_set.unlabelled_images():
        path = names.get(loose_stem(image))
        if path:
            reason = f"no labels were read, but {path} has the same name: mend or convert {path}"
            labelled_set.refuse(image, BadInput(str(image), reason))
    texts = [path for path, reason in labelled_set.ignored.items() if reason == NO_LABELS]
    tables = [path for path in (*unread, *texts) if path.suffix.lower() in TABLES]
    images = labelled_set.unlabelled_images()
    table_of = images_in_tables(images, tables, threat_classes)
    if boxes:
        table_of |= images_beside_boxes(images, tables)
    for image, path in table_of.items():
        reason = f"no labels were read, but {path} names this image: convert {path}"
        labelled_set.refuse(image, BadInput(str(image), reason))


def _masks(labelled_set: LabelledSet) -> list[Path]:
    """Return images without labels that are masks, by the names of their folders or their own.

    A folder such as ``labels`` holds masks of the images elsewhere with the same names.
    """
    folder = labelled_set.files.folder
    images_elsewhere = {
        loose_stem(image)
        for image in labelled_set.files.images
        if not _in_label_folder(folder, image)
    }
    return [
        path
        for path in labelled_set.unlabelled_images()
        if MASK_FOLDER.search(str(path.relative_to(folder).parent))
        or (
            _name_of_image(path) in images_elsewhere
            and (_name_of_image(path) != loose_stem(path) or _in_label_folder(folder, path))
        )
    ]


def _in_label_folder(folder: Path, path: Path) -> bool:
    """Return whether a folder between the set's folder and a file has a name for labels."""
    above = path.relative_to(folder).parts[:-1]
    return any(not LABEL_FOLDERS.isdisjoint(words_of(name)) for name in above)


def _refuse_copies(labelled_set: LabelledSet) -> None:
    """Refuse images without labels if a labelled image in another folder has the same name."""
    labelled = {image for image, labels in labelled_set.scans.items() if labels.files}
    names = {image.stem for image in labelled}
    folders = {image.parent for image in labelled}
    copies = [
        image
        for image in labelled_set.unlabelled_images()
        if image.stem in names and image.parent not in folders
    ]
    if copies:
        labelled_set.refuse_together(
            copies,
            f"images without labels have the names of labelled ones, such as {copies[0]}: "
            "remove copies, or set scans.unannotated to normal if they hold no threat",
        )


def _foreign_labels(labelled_set: LabelledSet) -> list[Path]:
    """Return files of other formats, and archives, that seem to hold labels of many images."""
    image_names = {loose_stem(image) for image in labelled_set.files.images}
    return [
        path
        for path in labelled_set.unread_files()
        if _may_be_labels(path) and loose_stem(path) not in image_names
    ]


def _unreadable_label_files(labelled_set: LabelledSet) -> list[Path]:
    """Return unreadable folders and files that may hold labels, judged by the suffix."""
    unreadable = [Path(item.file.removesuffix(DVC_FILE)) for item in labelled_set.files.bad]
    return [path for path in unreadable if path.suffix.lower() in (*TEXTS, "")]


def _name_of_image(path: Path) -> str:
    """Return the name of the image that a file of labels or a mask belongs to, by its own name."""
    return MASK_NAME.sub("", loose_stem(path))


def _may_be_labels_of_one(folder: Path, path: Path) -> bool:
    """Return whether an unread file may hold labels of the image whose name it has.

    In a folder such as ``labels``, any content counts, except JSON and XML without objects.
    """
    suffix = path.suffix.lower()
    if _may_be_labels(path) or (suffix in (".csv", ".tsv") and looks_like_labels(path)):
        return True
    is_other = suffix not in LABELS_INSIDE and path.stat().st_size > 0
    return is_other and _in_label_folder(folder, path)


def _may_be_labels(path: Path) -> bool:
    """Return whether an unread file holds objects, or is an archive with a name for labels."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return looks_like_labels(path)
    if suffix in ARCHIVES:
        return not LABEL_WORDS.isdisjoint(words_of(path.stem))
    if suffix not in LABELS_INSIDE or path.stat().st_size == 0:  # which cannot be mapped
        return False
    # The whole file: COCO's and CVAT's files can list a thousand images before the first label.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return LABELS_INSIDE[suffix].search(content) is not None
