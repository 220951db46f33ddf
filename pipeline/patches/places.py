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
        grazing: how many windows were left out because they only graze a threat.
        background: how many were left out as empty.
    """

    origins: NDArray[np.int32]
    labels: tuple[str, ...]
    grazing: int
    background: int
