"""Textures of uneven sheets (folds of cloth, weave, grain), new for every scan."""

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIDE = 512  # pixels; larger pieces repeat the sheet mirrored


def _noise(rng: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return smooth noise (SIDE, SIDE), variance about 1, from a grid of rows x columns cells."""
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.float32)


def _folds(rng: np.random.Generator) -> Floats:
    """Return creased cloth, mean about 1: soft hills, and thin ridges at the folds."""
    hills = 0.9 + 0.24 * _noise(rng, 7, 7) + 0.07 * _noise(rng, 24, 24)
    for rows, columns, width in ((6, 16, 0.08), (20, 9, 0.12), (16, 40, 0.2), (60, 30, 0.25)):
        ridge = np.exp(-((_noise(rng, rows, columns) / width) ** 2))
        hills += 0.3 * np.maximum(_noise(rng, 12, 12), 0) * ridge  # creases fade out at their ends
    hills += 0.05 * _noise(rng, 90, 160) + 0.05 * _noise(rng, 250, 250)
    return np.maximum(hills, 0.15)


def _ribs(rng: np.random.Generator) -> Floats:
    """Return stacked or pleated layers seen on edge: slightly wavy parallel lines."""
    sway = np.arange(SIDE, dtype=np.float32)[None, :] + 7 * _noise(rng, 4, 6)
    fine, coarse = rng.uniform((0.7, 0.2), (1.3, 0.5)).tolist()
    return 1 + 0.2 * np.sin(fine * sway) + 0.12 * np.sin(coarse * sway) + 0.1 * _noise(rng, 12, 60)


def _grain(rng: np.random.Generator) -> Floats:
    """Return loose fill: granules, seeds, crumbs."""
    return np.maximum(1 + 0.1 * _noise(rng, 220, 220) + 0.12 * _noise(rng, 12, 12), 0.2)


def _weave(rng: np.random.Generator) -> Floats:
    """Return corrugated board or coarse cloth: a fine even mesh."""
    step = rng.uniform(0.9, 1.6)
    line = np.sin(step * np.arange(SIDE, dtype=np.float32))
    mesh = 1 + 0.22 * line[:, None] + 0.12 * line[None, :]
    return np.asarray(mesh + 0.1 * _noise(rng, 5, 5), np.float32)


class Textures:
    """One sheet (SIDE, SIDE) of each texture, mean about 1, from which random pieces are cut."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._sheets = {
            "folds": _folds(rng),
            "ribs": _ribs(rng),
            "grain": _grain(rng),
            "weave": _weave(rng),
        }

    def cut(self, name: str, shape: tuple[int, ...]) -> Floats:
        """Return a random piece (rows, columns) of a sheet, rotated and mirrored at random."""
        rows, columns = shape
        sheet = self._sheets[name]
        if self._rng.random() < 0.5:
            sheet = sheet.T
        sheet = sheet[:: self._rng.choice((-1, 1)), :: self._rng.choice((-1, 1))]
        top = int(self._rng.integers(0, max(SIDE - rows, 0) + 1))
        left = int(self._rng.integers(0, max(SIDE - columns, 0) + 1))
        piece = sheet[top : top + rows, left : left + columns]
        missing = (0, rows - piece.shape[0]), (0, columns - piece.shape[1])
        return np.pad(piece, missing, mode="symmetric")
