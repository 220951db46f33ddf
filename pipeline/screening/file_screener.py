"""Screens one scan of a folder: reads it, scores it, and draws its pictures."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.common.errors import InputError
from pipeline.common.files import write_atomically
from pipeline.models.trained_model import TrainedModel
from pipeline.pages.pictures import (
    draw_outlines,
    encode_image,
    heat_levels,
    overlay_heat,
    page_pictures,
)
from pipeline.scans.bad_input import as_bad
from pipeline.scans.display import displayable
from pipeline.scans.scan import Mask, ScanSource
from pipeline.screening.image_screener import ImageScreener, Look
from pipeline.screening.new_scans import NewScan
from pipeline.screening.records import ScreenedFile
from pipeline.screening.regions import regions_over

HEAT = "heat"  # the folder of heat maps
PAGE_PARTS = "page"  # the folder of the page's pictures, which are small
MAX_NAME_BYTES = 220  # bytes of a file's name: its pictures' names are longer, and end at 255


@dataclass(frozen=True)
class FileScreener:
    """Screens scans one by one, in this process or in one of Ray's.

    Attributes:
        screener: scores scans.
        threshold: a pixel belongs to a region if its evidence, -log10 p, is above this.
        source: reads the scans with their annotations; None if there are none.
        out: the folder of the results.
    """

    screener: ImageScreener
    threshold: float
    source: ScanSource | None
    out: Path

    @classmethod
    def of(cls, model: TrainedModel, source: ScanSource | None, out: Path) -> "FileScreener":
        """Build the networks of a model."""
        threshold = float(-np.log10(model.calibration.false_alarm_rate))
        return cls(ImageScreener.of(model), threshold, source, out)

    def screen(self, new: NewScan, sha256: str) -> ScreenedFile:
        """Screen a scan and write its pictures; a file that cannot be used has a reason.

        Args:
            new: the scan.
            sha256: of its image.
        """
        started = time.perf_counter()
        try:
            _require_short_name(new.path)
            scan = new.read(self.source)
            screened = self.screener.screen(scan.image)
        except InputError as error:
            reason, seconds = as_bad(new.path, error).reason, time.perf_counter() - started
            return ScreenedFile(new.name, sha256, seconds=seconds, reason=reason)
        threats = scan.threats() if new.entry else None
        shown, levels = displayable(scan.image), heat_levels(screened.evidence)
        if threats is not None:
            shown = draw_outlines(shown, threats)
        files = encode_image(overlay_heat(shown, levels), ".png"), *page_pictures(shown, levels)
        try:
            for path, content in zip(pictures_of(self.out, new.name), files, strict=True):
                write_atomically(path, content)
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            if not all((self.out / folder).is_dir() for folder in (HEAT, PAGE_PARTS)):
                raise  # which no scan's name has caused
            reason = (
                "a scan's picture and a folder of pictures would have the same name: rename the "
                "scan or the folder"
            )
            return ScreenedFile(new.name, sha256, reason=reason)
        return ScreenedFile(
            new.name,
            sha256,
            scan.image.shape[1],
            scan.image.shape[0],
            screened.p_value,
            screened.windows,
            screened.looks,
            tuple(regions_over(screened.evidence, self.threshold)),
            time.perf_counter() - started,
            score=screened.score,
            annotations=new.annotations,
            classes=new.entry.classes if new.entry else None,
            on_threat=tuple(_is_on(look, threats) for look in screened.looks),
        )


def _require_short_name(path: Path) -> None:
    length = len(os.fsencode(path.name))
    if length > MAX_NAME_BYTES:
        raise InputError(
            f"{path}: a name of {length} bytes, of which {MAX_NAME_BYTES} are allowed: shorten it"
        )


def pictures_of(out: Path, name: str) -> tuple[Path, Path, Path]:
    """Return the paths of a scan's heat map, of the scan on the page, and of its heat there."""
    parts = out / PAGE_PARTS
    return out / HEAT / f"{name}.png", parts / f"{name}.jpg", parts / f"{name}.png"


def remove_pictures(out: Path, name: str) -> None:
    """Remove the pictures of a scan, as far as there are any."""
    for path in pictures_of(out, name):
        if path.is_file():
            path.unlink()


def _is_on(look: Look, threats: Mask | None) -> bool:
    """Return whether a window touches a threat."""
    rows = slice(look.top, look.top + look.height)
    return threats is not None and bool(threats[rows, look.left : look.left + look.width].any())
