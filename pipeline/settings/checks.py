"""Checks that the parameters of several blocks share."""

import re
from typing import Any, ClassVar

from PIL.ImageColor import colormap

from pipeline.common.errors import require

HEX_COLOUR = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)
SEEDS = 2**32  # numpy's generators take no other seeds

# The file systems that pyarrow opens by URI.
SCHEMES = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss", "file")


class StrictBlock:
    """Base of dataclasses in which pydantic refuses unknown keys, infinity and NaN."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "allow_inf_nan": False}


def require_seed(seed: int) -> None:
    """Refuse a seed that NumPy does not take."""
    require(0 <= seed < SEEDS, "seed", seed, f"0 to {SEEDS - 1}")


def require_rate(name: str, value: float) -> None:
    """Refuse a false-alarm rate at which everything or nothing would raise an alarm."""
    require(0 < value < 1, name, value, "a share, more than 0 and less than 1")


def require_colour(name: str, value: str) -> None:
    """Refuse a colour that no figure can be drawn in."""
    right = HEX_COLOUR.fullmatch(value) or value.lower() in colormap
    require(bool(right), name, value, "a colour such as '#4c78a8', or a CSS name such as steelblue")


def require_path_or_uri(name: str, value: str) -> None:
    """Refuse a text that is neither a path nor a URI with one of `SCHEMES`."""
    expected = f"a folder, or an address that begins with one of {', '.join(SCHEMES)} and ://"
    scheme, mark, rest = value.partition("://")
    require(not value.startswith("~"), name, value, "a path without ~, which no shell expands here")
    right = bool(value.strip()) and value.isprintable()
    require(right and (not mark or (scheme in SCHEMES and bool(rest))), name, value, expected)
