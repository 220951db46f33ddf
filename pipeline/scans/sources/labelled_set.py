"""The labels of a set, and the decision whether images without labels count as normal."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput
from pipeline.scans.scan import Part, SetFiles
from pipeline.scans.sources.folders import DVC_FILE, read_lines
from pipeline.scans.sources.pairing import LABEL_WORDS, loose_stem, pair, words_of
from pipeline.scans.sources.tables import images_in_tables
from pipeline.settings.scans import Unannotated

TAKEN_FOR_NORMAL = "images without annotation, taken for normal (scans.unannotated)"
TEXTS = (".csv", ".json", ".txt", ".xml")
ARCHIVES = (".7z", ".gz", ".rar", ".tar", ".tgz", ".zip")
# Patterns in files that hold the labels of many images, by suffix.
LABELS_INSIDE = {
    ".json": re.compile(
        rb'"(annotations|bbox|objects|regions|segmentation|shapes)"\s*:\s*[\[{]\s*[\[{"\d]'
    ),
    ".xml": re.compile(rb"<(bndbox|box|object|polygon)\b"),
}
PROSE = re.compile(r"(about|changelog|citation|licen[cs]e|notes?|readme)", re.IGNORECASE)
MASK_WORDS = {"mask", "masks"}
START = 2**16  # number of bytes that are searched at the start of a file


@dataclass(frozen=True)
class Labels:
    """The facts about a scan's objects that are known before its pixels are read.

    Attributes:
        names: the objects' classes, by the set's own names.
        files: the files that have labels of this scan only.
        records: digest of the scan's labels in a file of several scans; None without such a file.
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

    def pair(self, labels: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
        """Yield each image with its file of labels, paired by name; other labels are `orphans`."""
        images = [image for image in self.files.images if image not in self.ignored]
        pairs = pair(self.files.folder, images, labels)
        for path, reason in pairs.clashes.items():
            self.refuse(path, BadInput(str(path), reason))
        self.annotations.update(pairs.clashes.keys() & set(labels))
        self.orphans += pairs.alone
        self.annotations.update(pairs.labels.values())
        yield from pairs.labels.items()

    def leave_prose(self, of_labels: set[Path]) -> None:
        """Ignore orphans that are no labels; an empty file is labels in a folder of labels."""
        for path in self.orphans:
            empty = path.stat().st_size == 0
            is_labels = path.parent in of_labels if empty else looks_like_labels(path)
            if not is_labels:
                self.ignored[path] = "text, but no labels"
        self.orphans = [path for path in self.orphans if path not in self.ignored]

    def settle(self, given: Unannotated | None, usual: Unannotated, classes: Iterable[str]) -> None:
        """Refuse labels without an image, and take images without labels for normal or bad.

        Args:
            given: the user's choice for images without labels (`scans.unannotated`), or None.
            usual: the format's rule, used if `given` is None and no other file may hold labels.
            classes: the abnormal classes, by the set's own names.

        Raises:
            InputError: no image has labels, though there are files of labels.
        """
        self._require_labels()
        self.annotations.update(self.orphans)
        self.bad += [
            BadInput(str(path), "labels, but no image has its name: rename or remove it")
            for path in self.orphans
        ]
        self._refuse_by_name(classes)
        if given is None and usual == "normal":
            self._refuse_copies()
        left = self._left()
        if not left:
            return
        doubtful = [] if given else [*self.orphans, *self._lost(), *self._unread_labels()]
        doubtful = [*self.unread, *doubtful]
        if not doubtful and (given or usual) == "normal":
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

    def _words_above(self, path: Path) -> set[str]:
        """Return the words in the names of the folders between the set's folder and a file."""
        folders = path.relative_to(self.files.folder).parts[:-1]
        return {word for folder in folders for word in words_of(folder)}

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
        if found:
            raise InputError(
                f"{self.files.folder}: no image has labels, though there are {len(found)} files "
                f"of labels, such as {found[0]}: give labels the names of their images, or set "
                "scans.source to their format"
            )

    def _refuse_by_name(self, classes: Iterable[str]) -> None:
        """Refuse images without labels if a file that is not read has the image's name."""
        elsewhere = self._elsewhere()
        speaking = [path for path in elsewhere if _may_be_labels(path)]
        speaking += [*self.orphans, *self._lost()]
        masks = [
            path for path in self._left() if not MASK_WORDS.isdisjoint(self._words_above(path))
        ]
        self.ignored |= dict.fromkeys(masks, "a mask, which this format does not read")
        names = {loose_stem(path).removesuffix("_mask"): path for path in (*speaking, *masks)}
        for image in self._left():
            path = names.get(loose_stem(image))
            if path:
                reason = f"no labels that are read, but {path} has its name: mend or convert that"
                self.refuse(image, BadInput(str(image), reason))
        tables = [path for path in elsewhere if path.suffix.lower() == ".csv"]
        for image, path in images_in_tables(self._left(), tables, classes).items():
            reason = f"no labels that are read, but {path} has some for it: convert that file"
            self.refuse(image, BadInput(str(image), reason))

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
    """Return whether half of a file's lines or more end in 4 numbers, or the file is not text."""
    if PROSE.match(path.name):
        return False
    try:
        lines = [line.split() for line in read_lines(path) if line]
    except InputError:
        return True
    fitting = sum(len(line) > 3 and all(map(_is_number, line[-4:])) for line in lines)
    return fitting > 0 and 2 * fitting >= len(lines)


def _may_be_labels(path: Path) -> bool:
    """Return whether an unread file holds objects, or is an archive with a name for labels."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return looks_like_labels(path)
    if suffix in ARCHIVES:
        return not LABEL_WORDS.isdisjoint(words_of(path.stem))
    if suffix not in LABELS_INSIDE:
        return False
    with path.open("rb") as file:
        return LABELS_INSIDE[suffix].search(file.read(START)) is not None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
