"""Opens an image only if its size, metadata, chunks, JPEG scans, tiles and reads are within limits.

Pillow could decode a crafted file for hours. Size and mode come from the header, so that a
decompression bomb is refused before it is decoded.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from itertools import islice
from pathlib import Path

from PIL import ExifTags, Image, ImageSequence

from pipeline.common.files import special_file_kind

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
# In one image, and in all images that the threads of a process decode at the same time. A pixel
# needs at most 16 bytes: Pillow's own 4, an encoded copy of 6, and the array that is returned.
MAX_PIXELS = 64_000_000
MAX_METADATA = 4 * 2**20  # bytes of a file beside its pixels; Pillow reads a TIFF's several times
MAX_HEADER_READS = 20_000  # reads of a file until it is decoded
MAX_READS = 5_000_000  # reads while it is decoded; Pillow reads compressed BMP byte by byte
MAX_READ_BYTES = 4 * 2**30  # bytes of these reads; Pillow reads 64 KB for each strip of a TIFF
MAX_CHUNKS = 200_000  # in a PNG
MAX_JPEG_SCANS = 16  # passes over the largest JPEG; a smaller one may have more, for as many pixels
JPEG_BYTES = 6  # most bytes of a JPEG's pixel; noise at the best quality has 4
MAX_TILE = 2**20  # pixels by which a tile of a TIFF may be larger than its image
BAND = 2**20  # pixels that are converted at a time
TOO_MUCH = "too much metadata, or too many chunks or reads: save it again without metadata"
PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
START_OF_SCAN = b"\xff\xda"  # the encoded pixels of a JPEG cannot have these two bytes
TILE_WIDTH, TILE_LENGTH = 322, 323  # TIFF tags


class RefusedError(ValueError):
    """An image over a limit, or one that `PIXEL_RULE` of images.py does not cover."""


class CountedFile(BufferedReader):
    """A file with limits on its number of reads and on their bytes.

    Attributes:
        bytes_left: number of bytes that may still be read.
        reads_left: number of reads that are still allowed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path))
        self.bytes_left = MAX_METADATA
        self.reads_left = MAX_HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as usual.

        Raises:
            RefusedError: the file has been read beyond the limits.
        """
        content = super().read(size)
        self.bytes_left -= len(content)
        self.reads_left -= 1
        if self.bytes_left < 0 or self.reads_left < 0:
            raise RefusedError(TOO_MUCH)
        return content


class PixelBudget:
    """Lets threads decode at the same time as long as their images have `MAX_PIXELS` in sum."""

    def __init__(self) -> None:
        self._free = MAX_PIXELS
        self._changed = threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Wait until this number of pixels is free, and take them until the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


PIXEL_BUDGET = PixelBudget()


@contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """Open an image whose header is within the limits, to be decoded.

    Raises:
        RefusedError: the image is over a limit, here or while it is decoded; or the path is a
            FIFO, a socket or a device.
        Image.DecompressionBombError: the image has more pixels than Pillow itself allows.
        OSError: the file cannot be read, or Pillow knows no such format (`UnidentifiedImageError`).
    """
    kind = special_file_kind(path)
    if kind:
        raise RefusedError(f"{kind}, not a file: remove it")
    with CountedFile(path) as file:
        start = file.peek(len(PNG_START))
        if start.startswith(PNG_START):
            _check_chunks(file)
        with Image.open(file, formats=FORMATS) as image:
            check_size(image)
            if start.startswith(JPEG_START):
                _check_jpeg_scans(file, image)
            if image.format == "TIFF":
                _read_tags(image)
            file.bytes_left, file.reads_left = MAX_READ_BYTES, MAX_READS
            yield image


def check_size(image: Image.Image) -> None:
    """Refuse the current page of an image if it, or a tile of it, has too many pixels.

    Raises:
        RefusedError: names the number of pixels.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise RefusedError(
            f"{width}x{height} are more than {MAX_PIXELS:,} pixels: cut it into smaller scans"
        )
    tags = getattr(image, "tag_v2", {})
    tile = tags.get(TILE_WIDTH, 0) * tags.get(TILE_LENGTH, 0)
    if tile > width * height + MAX_TILE:
        raise RefusedError(f"tiles of {tile:,} pixels, but {width * height:,} in the image")


def _check_chunks(file: CountedFile) -> None:
    """Refuse a PNG with too much metadata, or too many chunks; Pillow reads and keeps them all."""
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
    raise RefusedError(TOO_MUCH)


def _check_jpeg_scans(file: CountedFile, image: Image.Image) -> None:
    """Refuse a JPEG with so many scans, or bytes, that it would be decoded for minutes."""
    pixels = image.width * image.height
    if os.fstat(file.fileno()).st_size > JPEG_BYTES * pixels + MAX_METADATA:
        raise RefusedError(TOO_MUCH)
    most = MAX_JPEG_SCANS * MAX_PIXELS // pixels
    file.seek(0)
    scans = 0
    while block := BufferedReader.read(file, BAND):
        scans += block.count(START_OF_SCAN)
    if scans > most:
        raise RefusedError(
            f"{scans} JPEG scans, expected {most} or fewer: save it as baseline JPEG"
        )


def _read_tags(image: Image.Image) -> None:
    """Let Pillow read the tags that it reads and keeps anyway while it decodes a TIFF."""
    exif = image.getexif()
    for group in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
        exif.get_ifd(group)
    pages_of(image)


def pages_of(image: Image.Image) -> int:
    """Return the number of pictures in a file; of a TIFF up to 3, since Pillow reads each page."""
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1)
    pages = sum(1 for _ in islice(ImageSequence.Iterator(image), 3))
    image.seek(0)
    return pages
