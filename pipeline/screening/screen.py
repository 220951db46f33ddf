"""Screens files and folders of new scans: `screen`, behind `skipscan screen` and for notebooks."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import file_digest, remove_unfinished, write_json, write_whole
from pipeline.models.detector import TrainedModel
from pipeline.pages.pictures import encoded, heat_layer, no_wider_than, under_heat
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
PAGE_WIDTH, HEAT_WIDTH = 800, 200  # most pixels of a scan, and of its heat, on the page


@dataclass(frozen=True)
class Screening:
    """The result of screening a folder.

    Attributes:
        files: the screened files, the most suspicious bag first.
        bad: the files that were skipped, with the reason.
        others: number of files that are no images, by suffix; hidden files are `hidden`.
        least: the lowest false-alarm rate by bag that the model's validation bags allow.
    """

    files: list[ScreenedFile]
    bad: list[BadInput]
    others: Mapping[str, int]
    least: float

    def alarms(self, false_alarm_rate: float) -> list[ScreenedFile]:
        """Return the files whose bag raises an alarm at a rate."""
        return [file for file in self.files if file.p_value <= false_alarm_rate]


def screen(
    given: Path, model: TrainedModel, digest: str, out: Path, false_alarm_rate: float
) -> Screening:
    """Screen a scan, or all scans below a folder, and write the results into `out`.

    A scan whose line is in the records of `out` is not scored again, unless its file has changed.

    Args:
        given: an image, or a folder.
        model: the trained model.
        digest: SHA-256 of the model's file, so that results of two models are never mixed.
        out: the folder of the results: bags.csv, heat maps, regions.json, report.html.
        false_alarm_rate: a bag raises an alarm if its p-value is this or less.

    Raises:
        InputError: there is no image, or `out` holds the results of another model or folder.
    """
    listed = _list(given)
    root, paths = listed.folder, listed.images
    begin(out, {"model": digest, "folder": str(root.resolve())})
    remove_unfinished(out)
    records = Records(out)
    done = {(file.file, file.sha256) for file in records if not file.reason}
    screener = Screener.of(model)
    threshold = float(-np.log10(model.calibration.false_alarm_rate))
    with terminal.progress("screen", len(paths), "bag") as shown:
        for path in paths:
            name = path.relative_to(root).as_posix()
            if (name, _digest(path)) not in done or not all(map(Path.exists, _pictures(out, name))):
                records.add(_screened(path, name, screener, threshold, out))
            shown.update()
    found = {path.relative_to(root).as_posix() for path in paths}
    every = [file for file in records if file.file in found]
    files = sorted((f for f in every if not f.reason), key=lambda file: file.p_value)
    skipped = [
        *(ScreenedFile(_below(root, bad.file), "", reason=bad.reason) for bad in listed.bad),
        *(file for file in every if file.reason),
    ]
    write_bags(out, [*files, *skipped], false_alarm_rate, LOOKS)
    write_json(out / REGIONS, coco(files))
    write_page(
        out / PAGE,
        "screening.html",
        files=files,
        skipped=skipped,
        rate=false_alarm_rate,
        picture=lambda name: picture(out / PAGE_PARTS / name),
    )
    return Screening(
        files,
        [BadInput(str(root / file.file), file.reason) for file in skipped],
        _others(listed),
        1 / (model.tails.bags.count + 1),
    )


def _list(given: Path) -> SetFiles:
    """List an image, or all files below a folder.

    Raises:
        InputError: there is no image.
    """
    if given.is_file():
        return SetFiles(given.parent, images=(given,), others=())
    if not given.is_dir():
        raise InputError(f"{given}: no such file or folder: give an image, or a folder of images")
    return list_set(given)


def _others(listed: SetFiles) -> dict[str, int]:
    """Count the files that are no images by suffix, and those that are hidden."""
    counts = Counter(path.suffix.lower() or "without suffix" for path in listed.others)
    if listed.hidden:
        counts["hidden"] = len(listed.hidden)
    return dict(sorted(counts.items()))


def _below(root: Path, file: str) -> str:
    return Path(file).relative_to(root).as_posix()


def _pictures(out: Path, name: str) -> tuple[Path, Path, Path]:
    """Return the paths of a scan's heat map, of the scan on the page, and of its heat there."""
    parts = out / PAGE_PARTS
    return out / HEAT / f"{name}.png", parts / f"{name}.jpg", parts / f"{name}.png"


def _digest(path: Path) -> str:
    """Return a file's SHA-256; "" if it cannot be read, or has gone."""
    try:
        return file_digest(path)
    except OSError:
        return ""


def _screened(
    path: Path, name: str, screener: Screener, threshold: float, out: Path
) -> ScreenedFile:
    """Screen one file, and write its pictures; a file that cannot be used has a reason."""
    started = time.perf_counter()
    sha256 = _digest(path)
    try:
        image = read_image(path)
        found = screener.screen(image)
    except InputError as error:
        reason = as_bad(path, error).reason
        return ScreenedFile(name, sha256, seconds=time.perf_counter() - started, reason=reason)
    shown = displayable(image)
    layer = heat_layer(found.evidence)
    small = no_wider_than(shown, PAGE_WIDTH), no_wider_than(layer, HEAT_WIDTH)
    for place, pixels in zip(_pictures(out, name), (under_heat(shown, layer), *small), strict=True):
        write_whole(place, encoded(pixels, place.suffix))
    return ScreenedFile(
        name,
        sha256,
        image.shape[1],
        image.shape[0],
        found.p_value,
        found.windows,
        found.looks,
        tuple(regions_over(found.evidence, threshold)),
        time.perf_counter() - started,
    )
