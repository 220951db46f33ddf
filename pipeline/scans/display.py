"""Scans of any number of channels as colours that people see."""

import numpy as np
from numpy.typing import NDArray


def displayable(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert (..., C) to (..., 3) RGB: grey is repeated; low and high energy become red and blue.

    So metal, which stops the low energy and lets the high energy through, is blue there too.
    """
    if image.shape[-1] == 2:
        low, high = image[..., 0], image[..., 1]
        middle = (low.astype(np.uint16) + high) // 2
        return np.stack([low, middle.astype(np.uint8), high], axis=-1)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
