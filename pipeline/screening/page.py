"""The page of a screening: one HTML file with all its pictures, which needs no network."""

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, Template

from pipeline.common.files import write_parts
from pipeline.screening.records import ScreenedFile


def write_page(
    path: Path,
    pictures: Path,
    files: Sequence[ScreenedFile],
    skipped: Sequence[ScreenedFile],
    false_alarm_rate: float,
) -> None:
    """Write the page, bag by bag, so that no more than a bag's pictures are in memory.

    Args:
        path: of the page.
        pictures: folder of the pictures, by the file's name: `.jpg` of the scan, `.png` of heat.
        files: the screened files, the most suspicious first.
        skipped: the files that were not screened.
        false_alarm_rate: where the slider stands at first.
    """
    parts = _template().stream(
        files=files,
        skipped=skipped,
        rate=false_alarm_rate,
        picture=lambda name: base64.b64encode((pictures / name).read_bytes()).decode(),
    )
    write_parts(path, (part.encode() for part in parts))


@cache
def _template() -> Template:
    # Names of files come from outside: what is not marked as safe is escaped.
    pages = Environment(loader=PackageLoader("pipeline.screening", "."), autoescape=True)
    return pages.get_template("page.html")
