"""Reading images: the one place that decides how a file becomes uint8 RGB."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as (H, W, 3) uint8 RGB; grey is repeated, alpha dropped.

    Raises:
        InputError: the file is missing or is not an image that can be decoded.
    """
    return np.ascontiguousarray(_decode(path, cv2.IMREAD_COLOR)[:, :, ::-1])


def read_index_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask of class indices as (H, W) uint8.

    Raises:
        InputError: the file is missing or is not an 8-bit mask of one channel.
    """
    mask = _decode(path, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise InputError(
            f"{path}: expected a mask of one 8-bit channel, got shape {mask.shape} and "
            f"{mask.dtype}: save it as 8-bit grey PNG"
        )
    return mask


def list_images(folder: Path) -> list[Path]:
    """The image files right in `folder`, sorted by name.

    Raises:
        InputError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: set scans.folder to where the scans are")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: no image in it: expected files {', '.join(IMAGE_SUFFIXES)}")
    return found


def _decode(path: Path, flags: int) -> NDArray[np.uint8]:
    try:
        encoded = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    decoded = cv2.imdecode(encoded, flags) if encoded.size else None
    if decoded is None:
        raise InputError(f"{path}: not an image that can be decoded: replace or remove it")
    return np.asarray(decoded, dtype=decoded.dtype)
