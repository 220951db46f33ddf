"""MVTec AD: ``train/good``, ``test/<defect>``, and ``ground_truth/<defect>/<name>_mask.png``."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.common.names import NORMAL
from pipeline.scans.bad_input import BadInput
from pipeline.scans.classes import ClassMap
from pipeline.scans.images import read_index_mask
from pipeline.scans.scan import PARTS, Listing, Mask, Scan, ScanEntry
from pipeline.scans.sources.annotated_source import check_size, read_scan
from pipeline.scans.sources.folders import faults_of, id_below, list_set, without_repeats
from pipeline.scans.sources.masks import ORPHAN, connected_components, masks_by_name

GOOD, GROUND_TRUTH = "good", "ground_truth"
# Each defect is an abnormal class with the defect's name.
MVTEC = ClassMap({GOOD: "normal", "*": "*"})


class MvtecSource:
    """Images in the set's own parts; all mask pixels other than 0 are the defect."""

    def __init__(self, folder: Path, classes: ClassMap) -> None:
        self.folder = folder
        self.classes = classes

    def listing(self) -> Listing:
        """List every image of ``train/`` and ``test/``; its id is its path, without the suffix."""
        files = list_set(self.folder)
        masks = [path for path in files.images if self._folders(path)[:1] == (GROUND_TRUTH,)]
        waiting, bad = masks_by_name(
            masks, lambda path: (self._folders(path)[1:], path.stem.removesuffix("_mask"))
        )
        entries = []
        names: set[str] = set()
        for path in files.images:
            folders = self._folders(path)
            if folders[:1] == (GROUND_TRUTH,):
                continue
            if len(folders) < 2 or folders[0].lower() not in PARTS:
                bad.append(BadInput(str(path), "an image outside of train/<class>, test/<class>"))
                continue
            part, name = PARTS[folders[0].lower()], folders[1]
            mask = waiting.pop((folders[1:], path.stem), None) if part == "test" else None
            names.add(name)
            is_normal = self.classes.meaning(name) == NORMAL
            if mask is None and not is_normal:
                expected = self.folder.joinpath(GROUND_TRUTH, *folders[1:], f"{path.stem}_mask.png")
                bad.append(BadInput(str(path), f"a defect without a mask: expected {expected}"))
                continue
            if mask and is_normal and not _is_empty(mask):
                reason = f"in {name}/, but {mask} is not an empty mask: move the image"
                bad.append(BadInput(str(path), reason))
                continue
            classes = self.classes.abnormal([name])
            # An ignored defect has a mask as well: its windows are no normal ones.
            own = (path, mask) if mask and not is_normal else (path,)
            entries.append(ScanEntry(id_below(self.folder, path), own, classes, part))
        self.classes.check(names, self.folder)
        bad += [
            BadInput(str(path), f"a mask without an image: {ORPHAN}") for path in waiting.values()
        ]
        usable, repeats = without_repeats(entries)
        return Listing(
            files,
            usable,
            [*files.bad, *bad, *repeats],
            names=frozenset(names),
            annotations=frozenset(masks),
        )

    def read(self, entry: ScanEntry) -> Scan:
        """Read one scan; every connected component of its mask is an object of its own."""
        return read_scan(entry, self.classes, self._objects)

    def _objects(self, entry: ScanEntry, size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
        name = self._folders(entry.files[0])[1]
        for path in entry.files[1:]:
            mask = read_index_mask(path)
            with faults_of(path):
                check_size(mask.shape[::-1], size)
            if not mask.any():
                raise InputError(f"{path}: an empty mask of a defect: put its image into {GOOD}/")
            for part in connected_components(mask > 0):
                yield name, part

    def _folders(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.folder).parts[:-1]


def _is_empty(mask: Path) -> bool:
    """Return whether a mask can be read and holds no defect."""
    try:
        return not read_index_mask(mask).any()
    except InputError:
        return False
