"""Reads image files, and decides how their pixels become uint8.

Pillow reads all formats, within the limits of `image_limits.py`. It raises an error for a truncated
file, where OpenCV fills in grey, and supports palettes, transparency and EXIF.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from pipeline.common.errors import InputError
from pipeline.scans.image_limits import (
    BAND,
    FORMATS,
    MAX_PIXELS,
    PIXEL_BUDGET,
    RefusedError,
    check_size,
    opened_image,
    pages_of,
)

SIGNATURES = {  # by offset, of formats that are not read: such files are reported as bad
    0: {
        b"GIF8": "GIF",
        b"\0\0\0\x0cjP  ": "JPEG 2000",
        b"\xffO\xffQ": "JPEG 2000",
        b"\x93NUMPY": "NumPy",
        b"NRRD": "NRRD",
        b"SIMPLE  =": "FITS",
        b"8BPS": "PSD",
        **{b"P5" + space: "PGM" for space in (b"\n", b" ", b"\t", b"\r")},
        **{b"P6" + space: "PPM" for space in (b"\n", b" ", b"\t", b"\r")},
    },
    4: {b"ftyphei": "HEIF", b"ftypmif1": "HEIF", b"ftypavif": "AVIF"},
    8: {b"WEBP": "WebP"},
    128: {b"DICM": "DICOM"},
}
# Change this text if `read_image` returns other pixels for a file.
PIXEL_RULE = (
    "2: 8 bits as they are, of 12 and 16 the high 8, inverted if 0 is white, 1 bit as 0 and 255; "
    "grey is one channel, colour and palette are RGB, two grey pages of a TIFF are low and high "
    "energy; transparency lies over white, where nothing absorbs; EXIF orientation is applied"
)

LFS = "version https://git-lfs"  # the start of a pointer file of Git LFS

DEEP = "I;16"  # Pillow's mode of 16 bits; its modes by byte order start like this
BITS_PER_SAMPLE = 258  # a TIFF tag
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a TIFF tag and a value; Pillow inverts only 8 bits for it
EXTRA_SAMPLES, UNSPECIFIED = 338, 0  # a TIFF tag, and the value for channels that Pillow drops

Pixels = NDArray[np.uint8]


def read_image(path: Path) -> Pixels:
    """Read an image as (H, W, C) uint8 by `PIXEL_RULE`; C is 1, 2 or 3.

    Raises:
        InputError: the file cannot be read or decoded, has more than `MAX_PIXELS`, or is not
            covered by the rule: floating point, 32 bits, CMYK, several pictures.
    """
    return _open(path, _channels)


def read_index_mask(path: Path) -> Pixels:
    """Read a mask of class indices as (H, W) uint8; a palette image gives its palette indices.

    Raises:
        InputError: the file cannot be read or is not an 8-bit mask of one channel.
    """
    return _open(path, _indices)


def image_format(path: Path) -> str | None:
    """Return an image's format by its content, not its suffix; None if the file is no image.

    `FORMATS[0]` stands for every format in `FORMATS`; other formats are named as in `SIGNATURES`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
        for offset, names in SIGNATURES.items():
            for signature, name in names.items():
                if start[offset:].startswith(signature):
                    return name
        with opened_image(path):
            return FORMATS[0]
    except (RefusedError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return FORMATS[0]  # `read_image` reports the reason
    except Exception:  # Pillow's decoders raise errors of any type for other files
        return None


def _open(path: Path, decode: Callable[[Image.Image], Pixels]) -> Pixels:
    """Check an image by its header, then decode it."""
    try:
        with opened_image(path) as image, PIXEL_BUDGET.take(image.width * image.height):
            return np.ascontiguousarray(decode(image))
    except RefusedError as error:
        reason = str(error)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"more than {MAX_PIXELS:,} pixels: cut it into smaller scans"
    except UnidentifiedImageError:
        reason = f"not an image that can be decoded: expected {', '.join(FORMATS)}"
        with path.open("rb") as file:
            if file.read(len(LFS)) == LFS.encode():
                reason = "a pointer of Git LFS: run `git lfs pull`"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    except MemoryError:
        reason = "no memory left to decode it: run fewer programs at the same time"
    except Exception as error:  # Pillow's decoders raise errors of any type
        reason = f"not an image that can be decoded: {error}"
    raise InputError(f"{path}: {' '.join(reason.split())}")


def _channels(image: Image.Image) -> Pixels:
    pages = pages_of(image)
    if pages == 1:
        return _page(image)
    if image.format != "TIFF" or pages != 2:
        raise RefusedError("several pictures in one file, expected 1, or 2 grey pages of a TIFF")
    low, high = map(_page, ImageSequence.Iterator(image))
    if low.shape[2] != 1 or low.shape != high.shape:
        raise RefusedError(
            f"pages of shape {low.shape} and {high.shape}, expected 2 grey pages of one size"
        )
    return np.concatenate([low, high], axis=2)


def _page(image: Image.Image) -> Pixels:
    """Decode the current page of an image, (H, W, C)."""
    check_size(image)
    tags = getattr(image, "tag_v2", {})
    if UNSPECIFIED in tags.get(EXTRA_SAMPLES, ()):
        raise RefusedError(
            "a channel without a stated meaning: save low and high energy as two pages"
        )
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
    white_is_zero = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    mode = _plain_mode(image)
    ImageOps.exif_transpose(image, in_place=True)
    width, height = image.size
    pixels = np.empty((height, width, 3 if mode.startswith("RGB") else 1), dtype=np.uint8)
    visible = False
    highest = 0
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(height, top + rows)))
        values = np.asarray(band if mode == DEEP else band.convert(mode))
        if mode == DEEP:
            highest = max(highest, int(values.max()))
            values = (values >> (bits - 8)).astype(np.uint8)
            values = 255 - values if white_is_zero else values
        elif mode.endswith("A"):
            visible = visible or bool(values[:, :, -1].any())
            values = _over_white(values)
        pixels[top : top + rows] = values.reshape(-1, *pixels.shape[1:])
    if mode == DEEP and bits == 16 and highest < 2**12:  # a scan shows some air, which is bright
        raise RefusedError(
            f"16 bits, but no value above {highest}, as if of 12 bits: scale it to 16 bits"
        )
    if mode.endswith("A") and not visible:
        raise RefusedError("every pixel is transparent: save it without an alpha channel")
    return pixels


def _plain_mode(image: Image.Image) -> str:
    """Return the mode that an image converts to: `DEEP`, or 8 bits with or without alpha."""
    if image.mode.startswith(DEEP):
        return DEEP
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise RefusedError(
            f"pixels of kind {image.mode}, expected 8 or 16 bits of grey or RGB: save it as such"
        )
    grey = image.mode in ("1", "L", "LA")
    if "transparency" in image.info or image.mode.endswith("A"):
        return "LA" if grey else "RGBA"
    return "L" if grey else "RGB"


def _over_white(values: Pixels) -> Pixels:
    """Blend an image with alpha as last channel, (H, W, C + 1), over white: (H, W, C)."""
    alpha = values[:, :, -1:].astype(np.uint16)
    return ((values[:, :, :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _indices(image: Image.Image) -> Pixels:
    if image.mode not in ("L", "P"):
        raise RefusedError(
            f"expected a mask of one 8-bit channel, got pixels of kind {image.mode}: "
            "save it as 8-bit grey PNG"
        )
    if pages_of(image) > 1:
        raise RefusedError("several pictures in one file, expected a mask of one")
    palette = image.getpalette() if image.mode == "P" else None
    if palette and any(palette[:3]):
        raise RefusedError(
            f"a palette whose index 0, the background, has the colour {palette[:3]}, expected "
            "black: save it as 8-bit grey PNG"
        )
    return np.asarray(ImageOps.exif_transpose(image))
