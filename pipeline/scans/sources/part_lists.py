"""Reads lists of the images in a set's own parts, such as ``ImageSets/Main/train.txt``."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.scans.scan import PARTS, Part, SetFiles
from pipeline.scans.sources.folders import read_lines
from pipeline.scans.sources.labelled_set import looks_like_labels
from pipeline.scans.sources.pairing import by_end, find_by_end
from pipeline.scans.sources.unlabelled import MASK_FOLDER


@dataclass(frozen=True)
class PartLists:
    """The lists of a set's own parts.

    Attributes:
        parts: the part of each image in a list; images in lists of different parts have none.
        files: the lists that are followed.
        notes: remarks for the account, each with its number of cases.
    """

    parts: dict[Path, Part]
    files: list[Path]
    notes: dict[str, int]


def read_part_lists(files: SetFiles) -> PartLists:
    """Read every list of images below the folder.

    A list is a text file named after a part, such as train.txt, in which every line is the name or
    the path of an image of the set. A file with boxes or classes after the images is no list. Masks
    are no images of a list: VOC has them by the names of its images.
    """
    candidates = [
        path
        for path in files.ending_in(".txt")
        if path.stem.lower() in PARTS and not looks_like_labels(path)
    ]
    scans = (
        image
        for image in files.images
        if not MASK_FOLDER.search(str(image.relative_to(files.folder).parent))
    )
    ends = by_end(scans) if candidates else {}
    lists = {path: _images_of(path, ends) for path in candidates}
    partial = [path for path, images in lists.items() if any(images) and None in images]
    followed = [path for path, images in lists.items() if images and None not in images]
    parts_of: dict[Path, set[Part]] = defaultdict(set)
    for path in followed:
        for image in filter(None, lists[path]):
            parts_of[image].add(PARTS[path.stem.lower()])
    torn = [image for image, own in parts_of.items() if len(own) > 1]
    notes = {}
    if torn:
        notes[f"images in lists of several parts, such as {torn[0]}"] = len(torn)
    if partial:
        notes[f"lists not followed, since a line names no image: {partial[0]}"] = len(partial)
    parts = {image: own.pop() for image, own in parts_of.items() if len(own) == 1}
    return PartLists(parts, followed, notes)


def _images_of(path: Path, ends: Mapping[str, Path | None]) -> list[Path | None]:
    """Return the image that each line of a list names; None if it names none or several."""
    try:
        lines = [line for line in read_lines(path) if line]
    except InputError:
        return []
    return [find_by_end(ends, line) for line in lines]
