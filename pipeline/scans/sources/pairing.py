"""Pairs images with files of labels by their names, however the folders are called.

Tools write ``images/`` and ``labels/``, ``Images/`` and ``Labels/``, ``JPEGImages/`` and
``Annotations/``, ``train_image/`` and ``train_annotation/``, or put the labels beside the images.
Words such as "images" and "labels" are removed from both paths; two files with equal remainders
are a pair.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from pipeline.scans.scan import IMAGE_SUFFIXES, PARTS, Part

T = TypeVar("T")
SHOWN = 4  # most files of a clash that a message names
MAX_COMPARED = 50  # up to this number of images with one name, all are compared

IMAGE_WORDS = frozenset(
    "image images img imgs jpegimage jpegimages jpeg jpg png tif tiff bmp scan scans".split()  # noqa: SIM905
)
LABEL_WORDS = frozenset(
    "label labels annotation annotations annot annots ann anns txt xml json gt yolo voc".split()  # noqa: SIM905
)
NO_PLACE = IMAGE_WORDS | LABEL_WORDS
BETWEEN_WORDS = re.compile(r"[\s_.\-]+")
YEAR = re.compile(r"\d{4}$")  # as in train2017


@dataclass(frozen=True)
class Pairs:
    """Images with their files of labels.

    Attributes:
        labels: the file of labels of each image that has one.
        alone: files of labels without an image of the same name.
        clashes: images and files of labels with several possible pairs, with the reason.
    """

    labels: dict[Path, Path]
    alone: list[Path]
    clashes: dict[Path, str]


def pair(folder: Path, images: Iterable[Path], labels: Iterable[Path]) -> Pairs:
    """Pair images with files of labels, all below `folder`.

    First, files pair whose paths are equal apart from suffixes and words such as "images" and
    "labels". Of the other files, two pair whose names are equal apart from case and suffixes, if
    their folders do not name different parts of the set and leave only one choice.
    """
    label_of: dict[Path, Path] = {}
    clashes: dict[Path, str] = {}
    images_by = grouped(images, lambda path: _key(folder, path))
    labels_by = grouped(labels, lambda path: _key(folder, path))
    for key, own in images_by.items():
        equal = labels_by.get(key, [])
        _add_pairs(label_of, clashes, own, equal, _pair_equal(own, equal))
    done = {*label_of, *label_of.values(), *clashes}
    unpaired = [image for own in images_by.values() for image in own if image not in done]
    alone = [path for paths in labels_by.values() for path in paths if path not in done]
    images_by_stem = grouped(unpaired, loose_stem)
    for stem, named in grouped(alone, loose_stem).items():
        likely = _likely_pairs(folder, images_by_stem.get(stem, []), named)
        own = list(dict.fromkeys(image for image, _ in likely))
        equal = list(dict.fromkeys(path for _, path in likely))
        _add_pairs(label_of, clashes, own, equal, _pair_nearest(folder, likely))
    done = {*label_of.values(), *clashes}
    return Pairs(label_of, [path for path in alone if path not in done], clashes)


def loose_stem(path: Path) -> str:
    """Return a name in lower case, without suffixes: ``IMG_1.JPG`` and ``img_1.jpg.txt``."""
    name = PurePath(unicodedata.normalize("NFC", path.name).casefold())
    stem = PurePath(name.stem) if name.suffix else name
    return stem.stem if stem.suffix in IMAGE_SUFFIXES else stem.name


def part_of(folder: Path, path: Path) -> Part | None:
    """Return the part of the set in a path's folders: ``train``, ``images/val``, ``test_image``."""
    return part_of_folders(path.relative_to(folder).parts[:-1])


def part_of_folders(folders: Iterable[str]) -> Part | None:
    """Return the part in the first folder's name that has one; None if no name has one."""
    for folder in folders:
        words = [YEAR.sub("", word) for word in words_of(folder) if word not in NO_PLACE]
        if len(words) == 1 and words[0] in PARTS:
            return PARTS[words[0]]
    return None


def part_in_name(name: str) -> Part | None:
    """Return the only part in the words of a file's name: ``instances_val2017.json``."""
    words = {YEAR.sub("", word) for word in words_of(name)}
    parts = {PARTS[word] for word in words if word in PARTS}
    return parts.pop() if len(parts) == 1 else None


def all_by_end(images: Iterable[Path]) -> dict[str, list[Path]]:
    """Map every end of a path, with and without suffix, to its images."""
    images_of: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        for written in {image, image.with_suffix("")}:
            for start in range(len(written.parts)):
                images_of["/".join(written.parts[start:])].append(image)
    return images_of


def by_end(images: Iterable[Path]) -> dict[str, Path | None]:
    """Map every end of a path, with and without suffix, to its image; None if there are several."""
    ends = all_by_end(images).items()
    return {end: found[0] if len(found) == 1 else None for end, found in ends}


def find_by_end(ends: Mapping[str, T], written: str) -> T | None:
    """Return the value of the longest end of `written` that has one."""
    parts = PurePosixPath(written.replace("\\", "/")).parts
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        if end in ends:
            return ends[end]
    return None


def grouped(paths: Iterable[Path], key: Callable[[Path], T]) -> dict[T, list[Path]]:
    """Return the paths by their keys."""
    groups: dict[T, list[Path]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return groups


def _add_pairs(
    label_of: dict[Path, Path],
    clashes: dict[Path, str],
    images: Sequence[Path],
    labels: Sequence[Path],
    pairs: Mapping[Path, Path],
) -> None:
    """Add the pairs of a group with equal names; if some labels have no image, all files clash."""
    if not images or not labels:
        return
    if set(pairs.values()) == set(labels):
        label_of |= pairs
        return
    shown = ", ".join(str(path) for path in (*images, *labels)[:SHOWN])
    reason = f"cannot tell which labels belong to which image: {shown}: rename some"
    clashes |= dict.fromkeys((*images, *labels), reason)


def _pair_equal(images: Sequence[Path], labels: Sequence[Path]) -> dict[Path, Path]:
    """Pair files of equal keys: labels beside their image, or else the group's only labels."""
    label_of = {}
    one_folder = len({image.parent for image in images}) == 1
    for image in images:
        beside = [path for path in labels if path.parent == image.parent]
        fitting = beside or (labels if one_folder else [])
        if len(fitting) == 1:
            label_of[image] = fitting[0]
    return label_of


def _likely_pairs(
    folder: Path, images: Sequence[Path], labels: Sequence[Path]
) -> list[tuple[Path, Path]]:
    """Return all pairs of files with one name, except pairs from different parts.

    For more than `MAX_COMPARED` images, such as a top.png in a folder for each bag, only pairs
    whose folders share the rarest word.
    """
    by_word: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        for word in _key(folder, image)[:-1]:
            by_word[word].append(image)
    pairs = []
    for path in labels:
        words = [word for word in _key(folder, path)[:-1] if word in by_word]
        near = by_word[min(words, key=lambda word: len(by_word[word]))] if words else []
        own = images if len(images) <= MAX_COMPARED else near
        pairs += [(image, path) for image in own if _same_part(folder, image, path)]
    return pairs


def _pair_nearest(folder: Path, likely: Sequence[tuple[Path, Path]]) -> dict[Path, Path]:
    """Return the pairs whose folders share more words than any other pair with one of the files."""
    shared = {pair: len({*_key(folder, pair[0])} & {*_key(folder, pair[1])}) for pair in likely}
    best: dict[Path, list[tuple[Path, Path]]] = {}
    for pair in sorted(likely, key=lambda pair: -shared[pair]):
        for path in pair:
            leading = best.setdefault(path, [pair])
            if pair not in leading and shared[pair] == shared[leading[0]]:
                leading.append(pair)
    return {
        image: path
        for image, path in likely
        if best[image] == [(image, path)] and best[path] == [(image, path)]
    }


def _same_part(folder: Path, image: Path, labels: Path) -> bool:
    return len({part_of(folder, image), part_of(folder, labels)} - {None}) < 2


def _key(folder: Path, path: Path) -> tuple[str, ...]:
    """Return a path's folders without words such as "images", and its name without the suffix."""
    places = (
        "_".join(word for word in words_of(part) if word not in NO_PLACE)
        for part in path.relative_to(folder).parts[:-1]
    )
    return (*filter(None, places), path.stem)


def words_of(name: str) -> list[str]:
    """Return the words of a folder's or file's name, in lower case."""
    return [word for word in BETWEEN_WORDS.split(name.lower()) if word]
