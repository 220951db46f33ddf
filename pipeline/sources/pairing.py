"""Finds each image's file of labels by their names, whatever the folders are called.

Tools write ``images/`` and ``labels/``, ``Images/`` and ``Labels/``, ``JPEGImages/`` and
``Annotations/``, ``train_image/`` and ``train_annotation/``, or put the labels beside the images.
The words for "images" and "labels" are left out of a path; what is left ties the two together.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.sources.base import Part

IMAGE_WORDS = frozenset(
    "image images img imgs jpegimage jpegimages jpeg jpg png tif tiff bmp scan scans".split()  # noqa: SIM905
)
LABEL_WORDS = frozenset(
    "label labels annotation annotations annot annots ann anns txt xml json gt yolo voc".split()  # noqa: SIM905
)
NO_PLACE = IMAGE_WORDS | LABEL_WORDS
PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
BETWEEN_WORDS = re.compile(r"[\s_.\-]+")
YEAR = re.compile(r"\d{4}$")  # as in train2017


@dataclass(frozen=True)
class Pairs:
    """Images with their files of labels.

    Attributes:
        labels: the file of labels of each image that has one.
        alone: files of labels that no image has the name of.
        clashes: images and files of labels that could belong to several, with the reason.
    """

    labels: dict[Path, Path]
    alone: list[Path]
    clashes: dict[Path, str]


def pair(folder: Path, images: Iterable[Path], labels: Iterable[Path]) -> Pairs:
    """Pair images with files of labels, all below `folder`.

    Two go together whose paths are equal but for suffixes and words such as "images" and
    "labels". Where a whole folder of labels finds no image that way, it goes with the one folder
    of images without any label that has names of its files.
    """
    images_by, labels_by = _by_key(folder, images), _by_key(folder, labels)
    found: dict[Path, Path] = {}
    clashes: dict[Path, str] = {}
    for key, own in images_by.items():
        candidates = labels_by.pop(key, [])
        paired = _pair_group(own, candidates)
        found |= paired
        if candidates and (len(paired) < len(own) or set(paired.values()) < set(candidates)):
            shown = ", ".join(str(path) for path in (*own, *candidates))
            reason = f"which labels are whose cannot be told of {shown}: rename some"
            clashes |= dict.fromkeys((*own, *candidates), reason)
    without = [image for own in images_by.values() for image in own if image not in found]
    alone = [path for paths in labels_by.values() for path in paths]
    by_folder = _pair_folders(without, alone, found)
    used = set(by_folder.values())
    labels_of = {image: path for image, path in found.items() if image not in clashes}
    return Pairs(labels_of | by_folder, [path for path in alone if path not in used], clashes)


def part_of(folder: Path, path: Path) -> Part | None:
    """The part of the set that a path's folders name: ``train``, ``images/val``, ``test_image``."""
    for place in path.relative_to(folder).parts[:-1]:
        words = [YEAR.sub("", word) for word in _words(place) if word not in NO_PLACE]
        if len(words) == 1 and words[0] in PARTS:
            return PARTS[words[0]]
    return None


def part_in_name(name: str) -> Part | None:
    """The one part that the words of a file's name speak of: ``instances_val2017.json``."""
    words = {YEAR.sub("", word) for word in _words(name)}
    found = {PARTS[word] for word in words if word in PARTS}
    return found.pop() if len(found) == 1 else None


def longest_match(images: Sequence[Path], places: tuple[str, ...]) -> Path | None:
    """The image that shares most of the path's end; None where there is none, or two."""
    if not images:
        return None
    shared = [_shared_end(image.parent.parts, places) for image in images]
    best = max(shared)
    return images[shared.index(best)] if shared.count(best) == 1 else None


def _pair_group(images: Sequence[Path], labels: Sequence[Path]) -> dict[Path, Path]:
    """Pair files of one key: labels beside their image, or else the only ones there are."""
    found = {}
    one_folder = len({image.parent for image in images}) == 1
    for image in images:
        beside = [path for path in labels if path.parent == image.parent]
        fitting = beside or (labels if one_folder else [])
        if len(fitting) == 1:
            found[image] = fitting[0]
    return found


def _pair_folders(
    images: Sequence[Path], labels: Sequence[Path], paired: Mapping[Path, Path]
) -> dict[Path, Path]:
    """Pair whole folders by the names of their files, where that can be done in one way only."""
    images_in = _by_folder(images, {image.parent for image in paired})
    labels_in = _by_folder(labels, {path.parent for path in paired.values()})
    found: dict[Path, Path] = {}
    for own in labels_in.values():
        matching = [there for there in images_in.values() if not own.keys().isdisjoint(there)]
        if len(matching) == 1 and found.keys().isdisjoint(matching[0].values()):
            found |= {matching[0][stem]: path for stem, path in own.items() if stem in matching[0]}
    return found


def _by_folder(paths: Sequence[Path], taken: set[Path]) -> dict[Path, dict[str, Path]]:
    """The paths by name in each folder that is not taken."""
    found: dict[Path, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        if path.parent not in taken:
            found[path.parent][path.stem] = path
    return found


def _by_key(folder: Path, paths: Iterable[Path]) -> dict[tuple[str, ...], list[Path]]:
    found: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in paths:
        places = (
            "_".join(word for word in _words(part) if word not in NO_PLACE)
            for part in path.relative_to(folder).parts[:-1]
        )
        found[(*filter(None, places), path.stem)].append(path)
    return found


def _words(name: str) -> list[str]:
    """The words of a folder's or file's name, in lower case."""
    return [word for word in BETWEEN_WORDS.split(name.lower()) if word]


def _shared_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
