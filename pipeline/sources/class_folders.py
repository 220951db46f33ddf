"""Whole images in a folder per class, with or without ``train/`` and ``test/`` above them.

The 2019 code's ``train/0.normal``, ``test/0.normal`` and ``test/1.<class>``, patches cut
beforehand (UBA), and whole scans by class (FFOB) are all of this layout.
"""

import re
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.images import read_image
from pipeline.sources.base import IGNORED, Listing, Part, Region, Scan, ScanEntry
from pipeline.sources.classes import ClassMap
from pipeline.sources.folders import find_images, id_below, without_repeats

PARTS: tuple[Part, Part] = ("train", "test")
NUMBER = re.compile(r"^\d+\.")  # before the class's name, in the layout of the 2019 code


class ClassFolderSource:
    """An image of an abnormal class is abnormal as a whole; an ignored class is left out.

    Where the folder holds ``train/`` and ``test/``, normal scans stay in their part.
    """

    def __init__(self, folder: Path, classes: ClassMap) -> None:
        self.folder = folder
        self.classes = classes

    def listing(self) -> Listing:
        """Every image; its id is its path below the folder, without the suffix."""
        images, bad = find_images(self.folder)
        parted = all((self.folder / part).is_dir() for part in PARTS)
        found = [(path, *self._place(path, parted=parted)) for path in images]
        self.classes.check((name for _, name, _ in found), self.folder)
        entries, repeats = without_repeats(
            ScanEntry(id_below(self.folder, path), (path,), self.classes.abnormal([name]), part)
            for path, name, part in found
            if self.classes.meaning(name) != IGNORED
        )
        return Listing(entries, [*bad, *repeats])

    def read(self, entry: ScanEntry) -> Scan:
        """Read one image; in an abnormal class, the whole image is the region."""
        image = read_image(entry.files[0])
        whole = np.ones(image.shape[:2], dtype=np.bool_)
        return Scan(entry.scan_id, image, tuple(Region(name, whole) for name in entry.classes))

    def _place(self, path: Path, *, parted: bool) -> tuple[str, Part | None]:
        """The class and the part that an image's folders name."""
        folders = path.relative_to(self.folder).parts[:-1]
        part = next((part for part in PARTS if parted and folders[:1] == (part,)), None)
        below = folders[1:] if part else folders
        if not below or (parted and not part):
            layout = "train/<class>/ or test/<class>/" if parted else "<class>/"
            raise InputError(f"{path}: not in a folder of its class: expected {layout}")
        return NUMBER.sub("", below[0]), part
