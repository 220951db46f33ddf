"""Reads lists of images that name a set's own parts: ``ImageSets/Main/train.txt`` and its kin."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import InputError
from pipeline.sources.base import Part, SetFiles
from pipeline.sources.folders import read_lines
from pipeline.sources.pairing import PARTS, longest_match


@dataclass(frozen=True)
class PartLists:
    """What a set's lists say.

    Attributes:
        parts: the part of each image that lists name.
        files: the lists.
        torn: images that two lists put into different parts, and so have none.
    """

    parts: dict[Path, Part]
    files: list[Path]
    torn: list[Path]


def read_part_lists(files: SetFiles) -> PartLists:
    """Read every list of images below the folder.

    A list is a text file called as a part is, in which every line begins with the name, or the
    path, of an image of the set.
    """
    lists: dict[Path, list[Path]] = {}
    candidates = [path for path in files.ending_in(".txt") if path.stem.lower() in PARTS]
    if candidates:
        by_stem: dict[str, list[Path]] = defaultdict(list)
        for image in files.images:
            by_stem[image.stem].append(image)
        lists = {path: _images_of(path, by_stem) for path in candidates}
    found: dict[Path, set[Part]] = defaultdict(set)
    for path, images in lists.items():
        for image in images:
            found[image].add(PARTS[path.stem.lower()])
    return PartLists(
        {image: next(iter(parts)) for image, parts in found.items() if len(parts) == 1},
        [path for path, images in lists.items() if images],
        [image for image, parts in found.items() if len(parts) > 1],
    )


def _images_of(path: Path, by_stem: dict[str, list[Path]]) -> list[Path]:
    """The images that a list names; none where some line names no image, or could name two."""
    try:
        lines = [line for line in read_lines(path) if line]
    except InputError:
        return []
    images = [_image_of(line, by_stem) for line in lines]
    known = [image for image in images if image is not None]
    return known if len(known) == len(images) else []


def _image_of(line: str, by_stem: dict[str, list[Path]]) -> Path | None:
    """The image whose path ends as the line says; VOC's lists have a number after the name."""
    words = line.split()
    for written in (line, words[0]) if len(words) == 2 else (line,):
        name = PurePosixPath(written.replace("\\", "/"))
        for stem in (name.name, name.stem):
            matching = by_stem.get(stem, [])
            best = longest_match(matching, name.parts[:-1])
            if best is not None:
                return best
    return None
