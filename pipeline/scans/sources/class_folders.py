"""One folder of images for each class, with or without ``train/`` and ``test/`` above.

The 2019 code (``train/0.normal``, ``test/0.normal`` and ``test/1.<class>``), UBA (patches that are
already cut) and FFOB (whole scans) have this layout.
"""

import re
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED
from pipeline.scans.classes import ClassMap
from pipeline.scans.images import read_image
from pipeline.scans.scan import PARTS, Listing, Part, Region, Scan, ScanEntry, SetFiles
from pipeline.scans.sources.folders import ALL_NORMAL, EXPECTED, id_below, list_set, without_repeats
from pipeline.scans.sources.pairing import loose_stem
from pipeline.scans.sources.unlabelled import MASK, MASK_FOLDER, MASK_NAME

NUMBER = re.compile(r"^\d+\.")  # before the class's name, in the layout of the 2019 code


class ClassFolderSource:
    """Images by class; abnormal images are abnormal as a whole, ignored classes are left out.

    If the folder holds two or more of ``train/``, ``val/`` and ``test/``, these are the set's own
    parts.
    """

    def __init__(self, folder: Path, classes: ClassMap) -> None:
        self.folder = folder
        self.classes = classes

    def listing(self) -> Listing:
        """List every image; its id is its path below the folder, without the suffix."""
        files = list_set(self.folder)
        places = {(path.parent, loose_stem(path)) for path in files.images}
        masks = {
            path
            for path in files.images
            if self._is_mask(path)
            or (
                MASK_NAME.search(name := loose_stem(path))
                and (path.parent, MASK_NAME.sub("", name)) in places
            )
        }
        images = [(path, *self._class_and_part(path)) for path in files.images if path not in masks]
        names = frozenset(name for _, name, _ in images)
        self._require_images(files, names)
        self.classes.check(names, self.folder)
        ignored = [path for path, name, _ in images if self.classes.meaning(name) == IGNORED]
        entries, repeats = without_repeats(
            ScanEntry(id_below(self.folder, path), (path,), self.classes.abnormal([name]), part)
            for path, name, part in images
            if self.classes.meaning(name) != IGNORED
        )
        return Listing(
            files,
            entries,
            [*files.bad, *repeats],
            names=names,
            ignored=dict.fromkeys(ignored, "an image of a class that scans.classes ignores")
            | dict.fromkeys(masks, MASK),
        )

    def read(self, entry: ScanEntry) -> Scan:
        """Read one image; in an abnormal class, the whole image is the region."""
        image = read_image(entry.files[0])
        whole = np.ones(image.shape[:2], dtype=np.bool_)
        own_name, _ = self._class_and_part(entry.files[0])
        return Scan(
            entry.scan_id,
            image,
            tuple(Region(name, whole) for name in entry.classes),
            (own_name,) if entry.classes else (),
        )

    def _is_mask(self, path: Path) -> bool:
        """Return whether an image is in a folder of masks, in or below the folder of a class."""
        folders = path.relative_to(self.folder).parts[:-1]
        first = 2 if self._find_class_and_part(path)[1] else 1
        return bool(MASK_FOLDER.search("/".join(folders[first:])))

    @cached_property
    def _has_parts(self) -> bool:
        names = {path.name.lower() for path in self.folder.iterdir() if path.is_dir()}
        return len({PARTS[name] for name in names if name in PARTS}) > 1

    def _require_images(self, files: SetFiles, names: frozenset[str]) -> None:
        """Refuse a class's folder that holds files, but no image."""
        for path in files.others:
            name, _ = self._find_class_and_part(path)
            if name and name not in names and self.classes.meaning(name):
                raise InputError(
                    f"{path.parent}: no image of class {name} in it, but {path.name}: {EXPECTED}"
                )

    def _class_and_part(self, path: Path) -> tuple[str, Part | None]:
        """Return the class and the part that an image's folders name.

        Raises:
            InputError: the folders name no class.
        """
        name, part = self._find_class_and_part(path)
        if name is None:
            layout = "train/<class>/ or test/<class>/" if self._has_parts else "<class>/"
            raise InputError(
                f"{path}: not in a folder of its class: expected {layout}, {ALL_NORMAL}"
            )
        return name, part

    def _find_class_and_part(self, path: Path) -> tuple[str | None, Part | None]:
        folders = path.relative_to(self.folder).parts[:-1]
        part = PARTS.get(folders[0].lower()) if self._has_parts and folders else None
        below = folders[1:] if part else folders
        if not below or (self._has_parts and not part):
            return None, None
        return NUMBER.sub("", below[0]), part
