"""The labels of a set, and the decision whether images without labels count as normal."""

import mmap
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.common.files import digest
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.scan import Part, SetFiles
from pipeline.scans.sources.folders import DVC_FILE, read_lines
from pipeline.scans.sources.pairing import LABEL_WORDS, loose_stem, pair, words_of
from pipeline.scans.sources.threat_tables import (
    NUMBERS_OF_A_BOX,
    images_beside_boxes,
    images_in_tables,
)
from pipeline.settings.scans import Unannotated

TAKEN_FOR_NORMAL = "images without annotation, taken for normal (scans.unannotated)"
TEXTS = (".csv", ".json", ".tsv", ".txt", ".xml")
BETWEEN_VALUES = re.compile(r"[\s,;]+")
ARCHIVES = (".7z", ".gz", ".rar", ".tar", ".tgz", ".zip")
# Patterns in files that hold the labels of many images, by suffix.
JSON_LABELS = re.compile(
    rb'"(?:annotations|bbox|bounding_box|box2d|detections|objects|regions|segmentation|shapes'
    rb'|(?:brush|ellipse|keypoint|polygon|rectangle)labels)"\s*:\s*[\[{]\s*[\[{"\d]'
    rb'|"labels?"\s*:\s*(?:\[\s*\{|\{\s*")'
)
XML_LABELS = re.compile(
    rb"<(?:bndbox|box|ellipse|mask|object|points|polygon|polyline|robndbox|tag\s+label=)",
    re.IGNORECASE,
)
LABELS_INSIDE = {
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), JSON_LABELS),
    ".xml": XML_LABELS,
}
PROSE = re.compile(r"(about|changelog|citation|licen[cs]e|notes?|readme)\.", re.IGNORECASE)
MASK_FOLDER = re.compile(r"(^|[\W_])masks?([\W_]|$)|ground[\W_]?truths?|segmentation(class|object)")
LABEL_FOLDERS = {"annotation", "annotations", "gt", "label", "labels"}
MASK_ENDING = re.compile(r"_(mask|gt)$")  # of the name of a mask


@dataclass(frozen=True)
class Labels:
    """The facts about a scan's objects that are known before its pixels are read.

    Attributes:
        names: the objects' classes, by the set's own names.
        files: the files that have labels of this scan only.
        records: digest of the scan's labels, apart from the content of `files`; None without any.
        part: the set's own part, if the labels name one.
    """

    names: frozenset[str]
    files: tuple[Path, ...] = ()
    records: str | None = None
    part: Part | None = None


@dataclass
class LabelledSet:
    """The labels of a set.

    Attributes:
        files: every file below the set's folder.
        scans: the labels of each image that has labels.
        bad: the files that cannot be used.
        refused: the images that cannot be used, because of the image or of its labels.
        orphans: files of labels without an image.
        unread: files of labels of many images that cannot be read.
        annotations: the files with information on scans or classes.
        ignored: files left out on purpose, with the reason.
        notes: remarks for the user on how files were read, with the number of cases.
    """

    files: SetFiles
    scans: dict[Path, Labels] = field(default_factory=dict)
    bad: list[BadInput] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)
    orphans: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    annotations: set[Path] = field(default_factory=set)
    ignored: dict[Path, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def refuse(self, image: Path, bad: BadInput) -> None:
        """Take an image out, so that it does not count as an image without labels."""
        self.refused.add(image)
        self.scans.pop(image, None)
        self.bad.append(bad)

    def read_pairs(self, labels: Sequence[Path], names_in: Callable[[Path], Iterable[str]]) -> None:
        """Pair images with files of labels by name, and read the classes that each file names.

        A file that cannot be used refuses its image; files without an image are `orphans`.
        """
        for image, path in self._pair(labels):
            try:
                names = list(names_in(path))
            except InputError as error:
                self.refuse(image, as_bad(path, error))
                continue
            # The digest, since another file may give the names to the numbers in this one (YOLO).
            self.scans[image] = Labels(frozenset(names), (path,), records=digest(names))

    def _pair(self, labels: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
        images = [image for image in self.files.images if image not in self.ignored]
        pairs = pair(self.files.folder, images, labels)
        for path, reason in pairs.clashes.items():
            self.refuse(path, BadInput(str(path), reason))
        self.annotations.update(pairs.clashes.keys() & set(labels))
        self.orphans += pairs.alone
        self.annotations.update(pairs.labels.values())
        yield from pairs.labels.items()

    def ignore_texts_without_labels(self, label_folders: set[Path]) -> None:
        """Ignore orphans that hold no labels; an empty file in `label_folders` counts as labels."""
        for path in self.orphans:
            empty = path.stat().st_size == 0
            is_labels = path.parent in label_folders if empty else looks_like_labels(path)
            if not is_labels:
                self.ignored[path] = "text, but no labels"
        self.orphans = [path for path in self.orphans if path not in self.ignored]

    def decide_unlabelled(
        self,
        choice: Unannotated | None,
        format_rule: Unannotated,
        threat_classes: Iterable[str],
    ) -> None:
        """Refuse labels without an image, and take images without labels for normal or bad.

        Args:
            choice: the user's choice for images without labels (`scans.unannotated`), or None.
            format_rule: used if `choice` is None and no other file may hold labels.
            threat_classes: the abnormal classes, by the set's own names.

        Raises:
            InputError: no image has labels, though there are files of labels.
        """
        self._require_labels()
        self.annotations.update(self.orphans)
        self.bad += [
            BadInput(str(path), "labels, but no image has its name: rename or remove it")
            for path in self.orphans
        ]
        doubts = choice is None and format_rule == "normal"
        self._refuse_by_name(threat_classes, boxes=doubts)
        if doubts:
            self._refuse_copies()
        left = self._left()
        if not left:
            return
        doubtful = [] if choice else [*self.orphans, *self._lost(), *self._unread_labels()]
        doubtful = [*self.unread, *doubtful]
        if not doubtful and (choice or format_rule) == "normal":
            self.scans |= dict.fromkeys(left, Labels(frozenset()))
            self.notes[TAKEN_FOR_NORMAL] = len(left)
            return
        advice = "annotate them, or set scans.unannotated to normal if they hold no threat"
        if doubtful:
            advice = f"their labels may be in {doubtful[0]}: mend or remove that, or {advice}"
        self._refuse_together(left, f"images without annotation, such as {left[0]}: {advice}")

    def _elsewhere(self) -> list[Path]:
        """Return the files that are no images and that were not read."""
        known = {*self.annotations, *self.ignored}
        return [path for path in self.files.others if path not in known]

    def _folders_above(self, path: Path) -> tuple[str, ...]:
        """Return the names of the folders between the set's folder and a file."""
        return path.relative_to(self.files.folder).parts[:-1]

    def _words_above(self, path: Path) -> set[str]:
        return {word for folder in self._folders_above(path) for word in words_of(folder)}

    def _left(self) -> list[Path]:
        """Return the images that have no labels and are neither refused nor ignored."""
        known = {*self.scans, *self.refused, *self.ignored}
        return [image for image in self.files.images if image not in known]

    def _refuse_together(self, images: Sequence[Path], reason: str) -> None:
        self.refused.update(images)
        self.bad.append(BadInput(str(self.files.folder), f"{len(images)} {reason}", len(images)))

    def _require_labels(self) -> None:
        """Refuse a set in which no image has labels, but which has files of labels."""
        if self.scans or self.refused:
            return
        found = self.orphans or self._unread_labels()
        if found and not self.files.images:
            raise InputError(
                f"{self.files.folder}: labels, such as {found[0]}, but no image that is read: "
                f"{self.files.bad[0].file}: {self.files.bad[0].reason}"
            )
        if found:
            raise InputError(
                f"{self.files.folder}: no image has labels, though there are {len(found)} files "
                f"of labels, such as {found[0]}: give labels the names of their images, or set "
                "scans.source to their format"
            )

    def _refuse_by_name(self, classes: Iterable[str], *, boxes: bool) -> None:
        """Refuse images without labels if a file that is not read has the image's name.

        Also those that a row of a table calls a threat or, if `boxes`, names beside a box.
        """
        elsewhere = self._elsewhere()
        speaking = [path for path in elsewhere if _may_be_labels(path)]
        speaking += [*self.orphans, *self._lost()]
        masks = self._masks()
        self.ignored |= dict.fromkeys(masks, "a mask, which this format does not read")
        names = {_name_of_image(path): path for path in (*speaking, *masks)}
        for image in self._left():
            path = names.get(loose_stem(image))
            if path:
                reason = f"no labels that are read, but {path} has its name: mend or convert that"
                self.refuse(image, BadInput(str(image), reason))
        tables = [path for path in elsewhere if path.suffix.lower() in (".csv", ".tsv")]
        named = images_in_tables(self._left(), tables, classes)
        if boxes:
            named |= images_beside_boxes(self._left(), tables)
        for image, path in named.items():
            reason = f"no labels that are read, but {path} has some for it: convert that file"
            self.refuse(image, BadInput(str(image), reason))

    def _masks(self) -> list[Path]:
        """Return images without labels that are masks, by the names of their folders or their own.

        A folder such as ``labels`` holds masks of the images elsewhere with the same names.
        """
        elsewhere = {
            loose_stem(image)
            for image in self.files.images
            if LABEL_FOLDERS.isdisjoint(self._words_above(image))
        }
        return [
            path
            for path in self._left()
            if any(MASK_FOLDER.search(folder.lower()) for folder in self._folders_above(path))
            or (
                _name_of_image(path) in elsewhere
                and (
                    _name_of_image(path) != loose_stem(path)
                    or not LABEL_FOLDERS.isdisjoint(self._words_above(path))
                )
            )
        ]

    def _refuse_copies(self) -> None:
        """Refuse images without labels if a labelled image in another folder has the same name."""
        labelled = {image for image, labels in self.scans.items() if labels.files}
        names = {image.stem for image in labelled}
        folders = {image.parent for image in labelled}
        copies = [
            image for image in self._left() if image.stem in names and image.parent not in folders
        ]
        if copies:
            self._refuse_together(
                copies,
                f"images without labels have the names of labelled ones, such as {copies[0]}: "
                "remove copies, or set scans.unannotated to normal if they hold no threat",
            )

    def _unread_labels(self) -> list[Path]:
        """Return files of other formats, and archives, that seem to hold labels of many images."""
        elsewhere = self._elsewhere()
        of_images = {loose_stem(image) for image in self.files.images}
        return [
            path for path in elsewhere if _may_be_labels(path) and loose_stem(path) not in of_images
        ]

    def _lost(self) -> list[Path]:
        """Return unreadable folders and files that may hold labels, judged by the suffix."""
        lost = [Path(item.file.removesuffix(DVC_FILE)) for item in self.files.bad]
        return [path for path in lost if path.suffix.lower() in (*TEXTS, "")]


def looks_like_labels(path: Path) -> bool:
    """Return whether half of a file's lines or more hold 4 numbers, or the file is not text."""
    if PROSE.match(path.name):
        return False
    try:
        lines = [BETWEEN_VALUES.split(line) for line in read_lines(path) if line]
    except InputError:
        return True
    fitting = sum(sum(map(_is_number, line)) >= NUMBERS_OF_A_BOX for line in lines)
    return fitting > 0 and 2 * fitting >= len(lines)


def _name_of_image(path: Path) -> str:
    """Return the name of the image that a file of labels or a mask belongs to, by its own name."""
    return MASK_ENDING.sub("", loose_stem(path))


def _may_be_labels(path: Path) -> bool:
    """Return whether an unread file holds objects, or is an archive with a name for labels."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return looks_like_labels(path)
    if suffix in ARCHIVES:
        return not LABEL_WORDS.isdisjoint(words_of(path.stem))
    if suffix not in LABELS_INSIDE:
        return False
    if path.stat().st_size == 0:  # which cannot be mapped
        return False
    # The whole file: COCO's and CVAT's files can list a thousand images before the first label.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return LABELS_INSIDE[suffix].search(content) is not None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
