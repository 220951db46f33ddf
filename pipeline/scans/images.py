"""Reads image files; only this module decides how a file becomes uint8.

Pillow reads all formats. It gives size and mode from the header, so that a decompression bomb is
refused before it is decoded. It raises an error for a truncated file, where OpenCV fills in grey.
It supports palettes, transparency and EXIF. What its decoders would do without end is counted
before: bytes of metadata, scans of a JPEG, chunks of a PNG, pages and tiles of a TIFF.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pipeline.common.errors import InputError
from pipeline.common.files import odd_kind

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
SIGNATURES = {  # by offset, of formats that are not read: such files are reported as bad
    0: {
        b"GIF8": "GIF",
        b"\0\0\0\x0cjP  ": "JPEG 2000",
        b"\xffO\xffQ": "JPEG 2000",
        b"\x93NUMPY": "NumPy",
        b"NRRD": "NRRD",
        b"SIMPLE  =": "FITS",
        b"8BPS": "PSD",
        b"P5\n": "PGM",
        b"P6\n": "PPM",
    },
    4: {b"ftyphei": "HEIF", b"ftypmif1": "HEIF", b"ftypavif": "AVIF"},
    8: {b"WEBP": "WebP"},
    128: {b"DICM": "DICOM"},
}
# In one image, and in all images that the threads of a process decode at the same time. A pixel
# needs at most 16 bytes: Pillow's own 4, an encoded copy of 6, and the array that is returned.
MAX_PIXELS = 64_000_000
MAX_METADATA = 4 * 2**20  # bytes of a file beside its pixels; Pillow reads a TIFF's several times
MAX_HEADER_READS = 20_000  # reads of a file until it is decoded
MAX_READS = 5_000_000  # reads while it is decoded; Pillow reads compressed BMP byte by byte
MAX_READ_BYTES = 4 * 2**30  # bytes of these reads; Pillow reads 64 KB for each strip of a TIFF
MAX_CHUNKS = 200_000  # in a PNG
MAX_SCANS = 16  # of the largest JPEG; smaller ones may have more, for the same number of pixels
JPEG_BYTES = 6  # most bytes of a JPEG's pixel; noise at the best quality has 4
MAX_TILE = 2**20  # pixels by which a tile of a TIFF may be larger than its image
BAND = 2**20  # pixels that are converted at a time
TOO_MUCH = "too much beside its pixels, or too many pieces: save it anew, without metadata"
PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
START_OF_SCAN = b"\xff\xda"  # the encoded pixels of a JPEG cannot have these two bytes
TILE_WIDTH, TILE_LENGTH = 322, 323  # TIFF tags

# Change this text if `read_image` returns other pixels for a file.
PIXEL_RULE = (
    "1: 8 bits as they are, of 16 the high byte, 1 bit as 0 and 255; grey is one channel, colour "
    "and palette are RGB, two grey pages of a TIFF are low and high energy; transparency lies "
    "over white, where nothing absorbs; EXIF orientation is applied"
)

LFS = "version https://git-lfs"  # the start of a pointer file of Git LFS

DEEP = "I;16"  # Pillow's mode of 16 bits; its modes by byte order start like this
EXTRA_SAMPLES, UNSPECIFIED = 338, 0  # a TIFF tag, and the value for channels that Pillow drops

Pixels = NDArray[np.uint8]


class _RefusedError(ValueError):
    """An image that `PIXEL_RULE` does not cover."""


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
        with _opened(path):
            return FORMATS[0]
    except (_RefusedError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return FORMATS[0]  # `read_image` reports the reason
    except Exception:  # Pillow's decoders raise errors of any type for other files
        return None


class _CountedFile(BufferedReader):
    """A file that refuses to be read without end.

    Attributes:
        bytes_left: how many bytes may be read yet.
        reads_left: how often it may be read yet.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path))
        self.bytes_left = MAX_METADATA
        self.reads_left = MAX_HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as usual; raise `_RefusedError` beyond the limits."""
        content = super().read(size)
        self.bytes_left -= len(content)
        self.reads_left -= 1
        if self.bytes_left < 0 or self.reads_left < 0:
            raise _RefusedError(TOO_MUCH)
        return content


class _Room:
    """Lets threads decode at the same time while their images have `MAX_PIXELS` in sum."""

    def __init__(self) -> None:
        self._free = MAX_PIXELS
        self._changed = threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for this number of pixels, and hold it meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_ROOM = _Room()


def _open(path: Path, decode: Callable[[Image.Image], Pixels]) -> Pixels:
    """Check an image by its header, then decode it."""
    try:
        with _opened(path) as image, _ROOM.take(image.width * image.height):
            return np.ascontiguousarray(decode(image))
    except _RefusedError as error:
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


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image whose header is within the limits, to be decoded."""
    kind = odd_kind(path)
    if kind:
        raise _RefusedError(f"{kind}, not a file: remove it")
    with _CountedFile(path) as file:
        start = file.peek(len(PNG_START))
        if start.startswith(PNG_START):
            _check_chunks(file)
        with Image.open(file, formats=FORMATS) as image:
            _check_size(image)
            if start.startswith(JPEG_START):
                _check_scans(file, image)
            if image.format == "TIFF":
                _read_tags(image)
            file.bytes_left, file.reads_left = MAX_READ_BYTES, MAX_READS
            yield image


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _RefusedError(
            f"{width}x{height} are more than {MAX_PIXELS:,} pixels: cut it into smaller scans"
        )
    tags = getattr(image, "tag_v2", {})
    tile = tags.get(TILE_WIDTH, 0) * tags.get(TILE_LENGTH, 0)
    if tile > width * height + MAX_TILE:
        raise _RefusedError(f"tiles of {tile:,} pixels, but {width * height:,} in the image")


def _check_chunks(file: _CountedFile) -> None:
    """Refuse a PNG with too much beside its pixels; Pillow reads all chunks, and keeps them."""
    metadata = 0
    file.seek(len(PNG_START))
    for _ in range(MAX_CHUNKS):
        head = BufferedReader.read(file, 8)  # not counted
        if len(head) < 8 or head[4:] == b"IEND":
            file.seek(0)
            return
        length = int.from_bytes(head[:4])
        if head[4:] != b"IDAT":
            metadata += length
        if metadata > MAX_METADATA:
            break
        file.seek(length + 4, os.SEEK_CUR)
    raise _RefusedError(TOO_MUCH)


def _check_scans(file: _CountedFile, image: Image.Image) -> None:
    """Refuse a JPEG with so many scans, or bytes, that it would be decoded for minutes."""
    pixels = image.width * image.height
    if os.fstat(file.fileno()).st_size > JPEG_BYTES * pixels + MAX_METADATA:
        raise _RefusedError(TOO_MUCH)
    most = MAX_SCANS * MAX_PIXELS // pixels
    file.seek(0)
    scans = 0
    while block := BufferedReader.read(file, BAND):
        scans += block.count(START_OF_SCAN)
    if scans > most:
        raise _RefusedError(f"{scans} scans, expected {most} or fewer: save it as baseline JPEG")


def _read_tags(image: Image.Image) -> None:
    """Let Pillow read the tags that it reads and keeps anyway while it decodes a TIFF."""
    exif = image.getexif()
    for group in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
        exif.get_ifd(group)
    _pages(image)


def _channels(image: Image.Image) -> Pixels:
    pages = _pages(image)
    if pages == 1:
        return _page(image)
    if image.format != "TIFF" or pages != 2:
        raise _RefusedError("several pictures in one file, expected 1, or 2 grey pages of a TIFF")
    low, high = (_page_at(image, number) for number in (0, 1))
    if low.shape[2] != 1 or low.shape != high.shape:
        raise _RefusedError(f"pages of shape {low.shape} and {high.shape}, expected 2 alike, grey")
    return np.concatenate([low, high], axis=2)


def _pages(image: Image.Image) -> int:
    """Return the number of pictures in a file; of a TIFF up to 3, since Pillow reads each page."""
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1)
    pages = 1
    with suppress(EOFError):  # Pillow's sign that there is no such page
        while pages < 3:
            image.seek(pages)
            pages += 1
    image.seek(0)
    return pages


def _page_at(image: Image.Image, number: int) -> Pixels:
    image.seek(number)
    _check_size(image)
    return _page(image)


def _page(image: Image.Image) -> Pixels:
    """Decode the current page of an image, (H, W, C)."""
    if UNSPECIFIED in getattr(image, "tag_v2", {}).get(EXTRA_SAMPLES, ()):
        raise _RefusedError("a channel of no stated meaning: save low and high energy as two pages")
    mode = _plain_mode(image)
    ImageOps.exif_transpose(image, in_place=True)
    width, height = image.size
    pixels = np.empty((height, width, 3 if mode.startswith("RGB") else 1), dtype=np.uint8)
    visible = False
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(height, top + rows)))
        values = np.asarray(band if mode == DEEP else band.convert(mode))
        if mode == DEEP:
            values = (values >> 8).astype(np.uint8)
        elif mode.endswith("A"):
            visible = visible or bool(values[:, :, -1].any())
            values = _over_white(values)
        pixels[top : top + rows] = values.reshape(-1, *pixels.shape[1:])
    if mode.endswith("A") and not visible:
        raise _RefusedError("every pixel is transparent: save it without an alpha channel")
    return pixels


def _plain_mode(image: Image.Image) -> str:
    """Return the mode that an image converts to: `DEEP`, or 8 bits with or without alpha."""
    if image.mode.startswith(DEEP):
        return DEEP
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise _RefusedError(
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
        raise _RefusedError(
            f"expected a mask of one 8-bit channel, got pixels of kind {image.mode}: "
            "save it as 8-bit grey PNG"
        )
    return np.asarray(image)
