"""The windows of a scan that are kept: their origins and labels, without their pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KeptWindows:
    """The windows of one scan that are kept, in row-major order, and their labels.

    Attributes:
        origins: (N, 2) int32, (row, column) of each upper-left pixel.
        labels: N names: ``normal`` or an abnormal class.
        grazing: number of windows left out because they only graze a threat.
        background: number of windows left out as empty.
    """

    origins: NDArray[np.int32]
    labels: tuple[str, ...]
    grazing: int
    background: int
