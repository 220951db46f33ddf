"""Screens files and folders of new scans, for `skipscan screen` and for notebooks."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import file_digest, remove_unfinished, write_json, write_whole
from pipeline.models.detector import TrainedModel
from pipeline.pages.pictures import encoded, heat_layer, page_pictures, under_heat
from pipeline.pages.writer import picture, write_page
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.display import displayable
from pipeline.scans.images import read_image
from pipeline.scans.scan import SetFiles
from pipeline.scans.sources.folders import list_set
from pipeline.screening.records import Records, ScreenedFile, begin, write_bags
from pipeline.screening.regions import coco, regions_over
from pipeline.screening.screener import LOOKS, Screener

HEAT = "heat"  # the folder of heat maps
PAGE_PARTS = "page"  # the folder of the page's pictures, which are small
REGIONS = "regions.json"
PAGE = "report.html"


@dataclass(frozen=True)
class Screening:
    """The result of screening a folder.

    Attributes:
        files: the screened files, the most suspicious bag first.
        bad: the files that were skipped, with the reason.
        others: number of files that are no images, by suffix; hidden files are `hidden`.
    """

    files: list[ScreenedFile]
    bad: list[BadInput]
    others: Mapping[str, int]

    def alarms(self, false_alarm_rate: float) -> list[ScreenedFile]:
        """Return the files whose bag raises an alarm at a rate."""
        return [file for file in self.files if file.p_value <= false_alarm_rate]


class FolderScreener:
    """Screens an image, or all images below a folder, and writes the results into `out`.

    A scan whose line is in the records of `out` is not scored again, unless its file has changed.
    """

    def __init__(
        self,
        given: Path,
        model: TrainedModel,
        about: Mapping[str, str],
        out: Path,
        false_alarm_rate: float,
    ) -> None:
        """Build the networks, and create `out` or go on with it.

        Args:
            given: an image, or a folder.
            model: the trained model.
            about: of `about_of`, so that results of two models are never mixed.
            out: the folder of the results: bags.csv, heat maps, regions.json, report.html.
            false_alarm_rate: a bag raises an alarm if its p-value is this or less.

        Raises:
            InputError: there is no such file or folder, or `out` holds other results or files.
        """
        if not given.exists():
            raise InputError(
                f"{given}: no such file or folder: give an image, or a folder of images"
            )
        self.given, self.out, self.rate = given, out, false_alarm_rate
        self.root = given.parent if given.is_file() else given
        begin(out, about)
        remove_unfinished(out)
        self.records = Records(out)
        self.screener = Screener.of(model)
        self.threshold = float(-np.log10(model.calibration.false_alarm_rate))
        self.bags = model.tails.bags.count
        self.least = 1 / (self.bags + 1)
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}

    def screen(self, listed: SetFiles | None = None) -> Screening:
        """Screen what is new or has changed, and write the table, the regions and the page.

        Args:
            listed: the files; None for all that are there now.

        Raises:
            InputError: there is no image.
        """
        listed = list_images(self.given) if listed is None else listed
        names = {self._name(path): path for path in listed.images}
        done = {(file.file, file.sha256) for file in self.records if not file.reason}
        with terminal.progress("screen", len(names), "bag") as shown:
            for name, path in names.items():
                sha256 = self._digest(path)
                kept = all(map(Path.exists, _pictures(self.out, name)))
                if not kept or (name, sha256) not in done:
                    self.records.add(self._screened(path, name, sha256))
                shown.update()
        found = [file for file in self.records if file.file in names]
        files = sorted((f for f in found if not f.reason), key=lambda file: file.p_value)
        skipped = [
            *(ScreenedFile(self._name(Path(b.file)), "", reason=b.reason) for b in listed.bad),
            *(file for file in found if file.reason),
        ]
        self._write(files, skipped)
        bad = [BadInput(str(self.root / file.file), file.reason) for file in skipped]
        return Screening(files, bad, _others(listed))

    def _screened(self, path: Path, name: str, sha256: str) -> ScreenedFile:
        """Screen one file, and write its pictures; a file that cannot be used has a reason."""
        started = time.perf_counter()
        try:
            image = read_image(path)
            found = self.screener.screen(image)
        except InputError as error:
            reason = as_bad(path, error).reason
            return ScreenedFile(name, sha256, seconds=time.perf_counter() - started, reason=reason)
        shown = displayable(image)
        layer = heat_layer(found.evidence)
        files = encoded(under_heat(shown, layer), ".png"), *page_pictures(shown, layer)
        for place, content in zip(_pictures(self.out, name), files, strict=True):
            write_whole(place, content)
        return ScreenedFile(
            name,
            sha256,
            image.shape[1],
            image.shape[0],
            found.p_value,
            found.windows,
            found.looks,
            tuple(regions_over(found.evidence, self.threshold)),
            time.perf_counter() - started,
        )

    def _write(self, files: Sequence[ScreenedFile], skipped: Sequence[ScreenedFile]) -> None:
        out = self.out
        write_bags(out, [*files, *skipped], self.rate, LOOKS)
        write_json(out / REGIONS, coco(files))
        write_page(
            out / PAGE,
            "screening.html",
            files=files,
            skipped=skipped,
            rate=self.rate,
            picture=lambda name: picture(out / PAGE_PARTS / name),
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _digest(self, path: Path) -> str:
        """Return a file's SHA-256; "" if it cannot be read, or has gone.

        A file of the same size and time is not read twice by this process.
        """
        about = size_and_time(path)
        if path not in self._digests or self._digests[path][0] != about:
            with suppress(OSError):
                self._digests[path] = about, file_digest(path)
        return self._digests[path][1] if path in self._digests else ""


def list_images(given: Path) -> SetFiles:
    """List an image, or all files below a folder.

    Raises:
        InputError: there is no image.
    """
    if given.is_file():
        return SetFiles(given.parent, images=(given,), others=())
    return list_set(given)


def whole_files(listed: SetFiles, sizes: Mapping[Path, tuple[int, int]]) -> SetFiles:
    """Keep the files whose size and time are still those of `sizes`: nothing writes to them."""

    def is_whole(path: Path) -> bool:
        return sizes.get(path) == size_and_time(path)

    return replace(
        listed,
        images=tuple(filter(is_whole, listed.images)),
        bad=tuple(bad for bad in listed.bad if is_whole(Path(bad.file))),
    )


def size_and_time(path: Path) -> tuple[int, int]:
    """Return a file's size and the time of its last change, (0, 0) if it has gone."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _others(listed: SetFiles) -> dict[str, int]:
    """Count the files that are no images by suffix, and those that are hidden."""
    counts = Counter(path.suffix.lower() or "without suffix" for path in listed.others)
    if listed.hidden:
        counts["hidden"] = len(listed.hidden)
    return dict(sorted(counts.items()))


def _pictures(out: Path, name: str) -> tuple[Path, Path, Path]:
    """Return the paths of a scan's heat map, of the scan on the page, and of its heat there."""
    parts = out / PAGE_PARTS
    return out / HEAT / f"{name}.png", parts / f"{name}.jpg", parts / f"{name}.png"
