"""Which windows of a scan are kept: their origins and labels, without their pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Places:
    """Which windows of one scan are kept, in row-major order, and how they are labelled.

    Attributes:
        origins: (N, 2) int32, (row, column) of each upper-left pixel.
        labels: N names: ``normal`` or an abnormal class.
        foreground: (N,) float32, share of foreground pixels, 0 to 1.
        grazing: how many windows were left out because they only graze a threat.
        background: how many were left out as empty.
    """

    origins: NDArray[np.int32]
    labels: tuple[str, ...]
    foreground: NDArray[np.float32]
    grazing: int
    background: int
