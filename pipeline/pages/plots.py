"""Figures of matplotlib: how they begin, and how they are written."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.common.files import write_atomically

DPI = 110


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of `width` by `height` inches, and its axes without a frame."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_figure(figure: Figure, path: Path, bbox_inches: str | None = None) -> None:
    """Write a PNG of the whole figure, or with `bbox_inches` tight of all that is drawn."""
    # No software version or date in the file, so that the same figure gives the same bytes.
    png = io.BytesIO()
    figure.savefig(png, dpi=DPI, bbox_inches=bbox_inches, metadata={"Software": None})
    write_atomically(path, png.getvalue())
