"""YOLO: ``images/`` and ``labels/``, a text file per scan, and the names of the classes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml
from supervision import Detections
from supervision.dataset.formats.yolo import yolo_annotations_to_detections

from pipeline.bad_input import BadInput, as_bad
from pipeline.errors import InputError
from pipeline.sources.base import Mask, ScanEntry
from pipeline.sources.classes import ClassMap
from pipeline.sources.detections import DetectionSource, Labels, check_reach, mask_of
from pipeline.sources.folders import find_files

BOX_VALUES = 6  # class, centre, size, and the confidence that some tools add; more are a polygon


class YoloSource(DetectionSource):
    """Boxes and polygons in shares of the image. A scan without a label file is normal."""

    def __init__(self, folder: Path, classes: ClassMap) -> None:
        super().__init__(folder, classes)
        self._names: dict[int, str] | None = None

    def labels(self, images: Sequence[Path]) -> tuple[dict[Path, Labels], list[BadInput]]:
        """An image's labels are at its path with its last ``images`` as ``labels``."""
        self._names = _read_names(self.folder)
        files, bad = find_files(self.folder, (".txt",))
        waiting = {path for path in files if "labels" in path.relative_to(self.folder).parts}
        scans = {}
        for image in images:
            path = _label_file(self.folder, image)
            if path not in files:
                scans[image] = Labels(frozenset())
                continue
            waiting.discard(path)
            try:
                names = frozenset(name for _, name, _ in self._lines(path, None))
            except InputError as error:
                bad.append(as_bad(path, error))
                continue
            scans[image] = Labels(names, (path,))
        return scans, bad + [BadInput(str(path), "no image for it") for path in sorted(waiting)]

    def objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        """Each line by itself."""
        for path in entry.files[1:]:
            for number, name, found in self._lines(path, size):
                try:
                    yield name, mask_of(found, size)
                except ValueError as error:
                    raise InputError(f"{path}: line {number}: {error}") from None

    def _lines(
        self, path: Path, size: tuple[int, int] | None
    ) -> Iterator[tuple[int, str, Detections]]:
        """Number, class and object of each line; masks are made where the `size` is known."""
        if self._names is None:  # in another process than the one that listed the folder
            self._names = _read_names(self.folder)
        for number, line in enumerate(_read_lines(path), 1):
            if not line.strip():
                continue
            polygon = size is not None and len(line.split()) > BOX_VALUES
            try:
                check_reach(map(float, line.split()[1:]), (1, 1))
                found = yolo_annotations_to_detections([line], size or (1, 1), with_masks=polygon)
            except (ValueError, OverflowError) as error:
                raise InputError(f"{path}: line {number}: {error}") from None
            index = int(np.asarray(found.class_id)[0])
            if index not in self._names:
                raise InputError(
                    f"{path}: line {number}: class {index}, expected one of {self._names}"
                )
            yield number, self._names[index], found


def _label_file(folder: Path, image: Path) -> Path:
    parts = list(image.relative_to(folder).with_suffix(".txt").parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return folder.joinpath(*parts)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text") from None


def _read_names(folder: Path) -> dict[int, str]:
    """The classes by their index, of data.yaml or classes.txt."""
    path = folder / "data.yaml"
    if not path.is_file():
        return dict(enumerate(_read_lines(folder / "classes.txt")))
    try:
        names = yaml.safe_load("\n".join(_read_lines(path)))["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(index): str(name) for index, name in pairs}
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: expected the classes under `names`, a list or by index"
        ) from None
