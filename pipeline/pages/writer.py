"""Writes a page from a template of this folder."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from pipeline.common.files import write_parts

KINDS = {".jpg": "image/jpeg", ".png": "image/png"}


def write_page(path: Path, template: str, **content: Any) -> None:
    """Write a page, part by part, so that the pictures of a single bag are in memory at a time.

    Args:
        path: of the page.
        template: name of a file of this folder.
        content: the variables of the template.
    """
    parts = _templates().get_template(template).stream(**content)
    write_parts(path, (part.encode() for part in parts))


def file_data_url(path: Path) -> str:
    """Return a JPEG or PNG file as a data URL (base64)."""
    return data_url(path.read_bytes(), path.suffix)


def data_url(content: bytes, suffix: str) -> str:
    """Return the bytes of an image file with this suffix as a data URL (base64)."""
    return f"data:{KINDS[suffix]};base64,{base64.b64encode(content).decode()}"


@cache
def _templates() -> Environment:
    # Names of files and classes come from outside: all that is not marked as safe is escaped.
    return Environment(loader=PackageLoader("pipeline.pages", "."), autoescape=True)
