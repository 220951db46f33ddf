"""The labels of a set, by image; and the files of labels that belong to no image."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.common.files import digest
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.scan import Part, SetFiles
from pipeline.scans.sources.folders import read_lines
from pipeline.scans.sources.pairing import pair
from pipeline.scans.sources.threat_tables import NUMBERS_OF_A_BOX

BETWEEN_VALUES = re.compile(r"[\s,;]+")
NO_LABELS = "text, but no labels"
PROSE = re.compile(r"(about|changelog|citation|licen[cs]e|notes?|readme)\.", re.IGNORECASE)


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
        unreadable: files of labels of many images that cannot be read.
        annotations: the files with information on scans or classes.
        ignored: files left out on purpose, with the reason.
        notes: remarks for the user on how files were read, with the number of cases.
    """

    files: SetFiles
    scans: dict[Path, Labels] = field(default_factory=dict)
    bad: list[BadInput] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)
    orphans: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    annotations: set[Path] = field(default_factory=set)
    ignored: dict[Path, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def refuse(self, image: Path, bad: BadInput) -> None:
        """Take an image out, so that it does not count as an image without labels."""
        self.refused.add(image)
        self.scans.pop(image, None)
        self.bad.append(bad)
        if bad.file != str(image):
            self.ignored[image] = "an image whose labels are bad"

    def refuse_together(self, images: Sequence[Path], reason: str) -> None:
        """Take images out for one reason, which follows their number in the message."""
        self.refused.update(images)
        self.bad.append(BadInput(str(self.files.folder), f"{len(images)} {reason}", len(images)))

    def read_pairs(self, labels: Sequence[Path], names_in: Callable[[Path], Iterable[str]]) -> None:
        """Pair images with files of labels by name, and read the classes that each file names.

        If a file cannot be used, its image is refused. Files without an image are `orphans`.
        """
        images = [image for image in self.files.images if image not in self.ignored]
        pairs = pair(self.files.folder, images, labels)
        for path, reason in pairs.clashes.items():
            self.refuse(path, BadInput(str(path), reason))
        self.orphans += pairs.alone
        self.annotations.update(pairs.clashes.keys() & set(labels), pairs.labels.values())
        for image, path in pairs.labels.items():
            try:
                names = list(names_in(path))
            except InputError as error:
                self.refuse(image, as_bad(path, error))
                continue
            # The digest, since another file may give the names to the numbers in this one (YOLO).
            self.scans[image] = Labels(frozenset(names), (path,), records=digest(names))

    def ignore_texts_without_labels(self, label_folders: set[Path]) -> None:
        """Ignore orphans that hold no labels; an empty file in `label_folders` counts as labels."""
        for path in self.orphans:
            empty = path.stat().st_size == 0
            is_labels = path.parent in label_folders if empty else looks_like_labels(path)
            if not is_labels:
                self.ignored[path] = NO_LABELS
        self.orphans = [path for path in self.orphans if path not in self.ignored]

    def unlabelled_images(self) -> list[Path]:
        """Return the images that have no labels and are neither refused nor ignored."""
        known = {*self.scans, *self.refused, *self.ignored}
        return [image for image in self.files.images if image not in known]

    def unread_files(self) -> list[Path]:
        """Return the files that are no images and that were not read."""
        known = {*self.annotations, *self.ignored}
        return [path for path in self.files.others if path not in known]


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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
