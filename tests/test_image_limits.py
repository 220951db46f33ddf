"""Images made to take memory or time without end are bad input; large honest ones are read."""

import io
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import InputError
from pipeline.scans import image_limits, images
from pipeline.scans.image_limits import MAX_PIXELS
from pipeline.scans.images import image_format, read_image
from tests.imports import ROOT

SIDE = 8000  # of the largest square image
TOO_MUCH = "too much metadata, or too many chunks or reads"
NOTHING = zlib.compress(bytes(8 * 9))  # 8x8 pixels of grey


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(
    width: int, height: int, bits: int, colour: int, *chunks: bytes, rows: bytes | None = None
) -> bytes:
    """A PNG with chunks before its pixels; the chunks hold the pixels too if `rows` is None."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = b"" if rows is None else chunk(b"IDAT", zlib.compress(rows, 1))
    return image_limits.PNG_START + head + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def palette_png() -> bytes:
    """77 KB or less, whose pixels are 64 million of a palette."""
    return png(SIDE, SIDE, 8, 3, chunk(b"PLTE", bytes(768)), rows=bytes((SIDE + 1) * SIDE))


def transparent_png() -> bytes:
    row = b"\0" + b"\1\2\3\xff" * SIDE
    return png(SIDE, SIDE, 8, 6, rows=row * SIDE)


def jpeg(side: int, **options: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "JPEG", **options)
    return file.getvalue()


def many_scans() -> bytes:
    content = jpeg(2000, progressive=True)
    last = content.rindex(image_limits.START_OF_SCAN)
    return content[:-2] + content[last:-2] * 300 + content[-2:]


def much_exif() -> bytes:
    content, body = jpeg(8), b"Exif\0\0" + bytes(65_500)
    return content[:2] + (b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body) * 70 + content[2:]


def many_whole_scans() -> bytes:
    content = jpeg(400, quality=100)
    scan = content[content.index(image_limits.START_OF_SCAN) : -2]
    return content[:-2] + scan * (6_000_000 // len(scan)) + content[-2:]


def junk_before_pixels() -> bytes:
    content = jpeg(8)
    return content[:20] + bytes(100_000) + content[20:]


def tiff(*tags: tuple[int, int, int, int], more: bytes = b"", pixels: int = 1) -> bytes:
    """A grey TIFF, of one pixel or of other tags: (tag, type, count, value); `more` is at 300."""
    usual = {
        tag: (tag, kind, 1, value)
        for tag, kind, value in (
            (256, 4, pixels), (257, 4, pixels), (258, 3, 8), (259, 3, 1), (262, 3, 1),
            (273, 4, 8), (277, 3, 1), (278, 4, 1), (279, 4, 1),
        )
    }  # fmt: skip
    usual |= {entry[0]: entry for entry in tags}
    entries = b"".join(struct.pack("<HHII", *entry) for _, entry in sorted(usual.items()))
    head = b"II*\0" + struct.pack("<IH", 8, len(usual)) + entries + bytes(4)
    return head.ljust(300, b"\0") + more


def large_tiles() -> bytes:
    content = zlib.compress(bytes(2**24))
    size = (322, 4, 1, 2**13), (323, 4, 1, 2**11)
    data = (324, 4, 1, 300), (325, 4, 1, len(content))
    return tiff((259, 3, 1, 8), *size, *data, more=content, pixels=16)


def many_strips() -> bytes:
    count = 2_000_000
    return tiff((273, 4, count, 300), (279, 4, count, 300), more=bytes(4 * count))


def many_strips_on_the_second_page() -> bytes:
    count = 3_000_000
    first, second = bytearray(tiff()[8:122]), tiff((273, 4, count, 300))[8:122]
    first[-4:] = struct.pack("<I", 122)
    return (b"II*\0" + struct.pack("<I", 8) + first + second).ljust(300, b"\0") + bytes(4 * count)


def large_second_page() -> bytes:
    first, second = bytearray(tiff()[8:122]), tiff(pixels=20_000)[8:122]
    first[-4:] = struct.pack("<I", 122)
    return (b"II*\0" + struct.pack("<I", 8) + first + second).ljust(300, b"\0")


def large_exif_in_tiff() -> bytes:
    count = 10_000_000
    directory = struct.pack("<HHHIII", 1, 0x9999, 3, count, 400, 0).ljust(100, b"\0")
    return tiff((34665, 4, 1, 300), more=directory + bytes(2 * count))


def compressed_bmp() -> bytes:
    side, palette = 64, b"".join(bytes([value] * 3 + [0]) for value in range(256))
    runs = (b"\1\7" * side + b"\0\0") * side
    head = struct.pack("<IIIHHIIIIII", 40, side, side, 1, 8, 1, len(runs), 0, 0, 256, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + head + palette + runs


BOMBS: dict[str, Callable[[], bytes]] = {
    "scans.jpg": many_scans,
    "exif.jpg": much_exif,
    "whole.jpg": many_whole_scans,
    "junk.jpg": junk_before_pixels,
    "exif.png": lambda: png(8, 8, 8, 0, chunk(b"eXIf", bytes(5_000_000)), chunk(b"IDAT", NOTHING)),
    "after.png": lambda: png(8, 8, 8, 0, chunk(b"IDAT", NOTHING), chunk(b"eXIf", bytes(5_000_000))),
    "chunks.png": lambda: png(8, 8, 8, 0, chunk(b"IDAT", b"") * 210_000, chunk(b"IDAT", NOTHING)),
    "tiles.tif": large_tiles,
    "strips.tif": many_strips,
    "second.tif": many_strips_on_the_second_page,
    "exif.tif": large_exif_in_tiff,
    "large.tif": large_second_page,
}
REASONS = {
    "scans.jpg": "306 JPEG scans, expected 256 or fewer",
    "tiles.tif": "tiles of 16,777,216 pixels, but 256 in the image",
    "large.tif": "20000x20000 are more than 64,000,000 pixels",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_an_image_without_end_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    started = time.process_time()
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: {REASONS.get(name, TOO_MUCH)}")
    assert "\n" not in str(error.value)
    assert image_format(path.rename(tmp_path / "without-suffix"))
    assert time.process_time() - started < 2


def test_of_many_pages_three_are_looked_at(tmp_path: Path) -> None:
    page = tiff()
    directory, count = page[8:-4], 5_000  # the tags; each page's end points to the next
    ends = [8 + (number + 1) * len(directory) for number in range(count)]
    next_at = 2 + 12 * 9
    pages = (
        directory[:next_at] + struct.pack("<I", end if end != ends[-1] else 0)
        + directory[next_at + 4 :] for end in ends
    )  # fmt: skip
    (tmp_path / "a.tif").write_bytes(page[:8] + b"".join(pages))
    started = time.process_time()
    with pytest.raises(InputError, match=r"a\.tif: several pictures in one file"):
        read_image(tmp_path / "a.tif")
    assert time.process_time() - started < 0.5


def test_a_compressed_bmp_is_read_up_to_a_number_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bmp").write_bytes(compressed_bmp())
    assert (read_image(tmp_path / "a.bmp") == 7).all()
    monkeypatch.setattr(image_limits, "MAX_READS", 64 * 64)
    with pytest.raises(InputError, match=rf"a\.bmp: {TOO_MUCH}"):
        read_image(tmp_path / "a.bmp")


@pytest.mark.slow  # it decodes 64 million pixels
@pytest.mark.parametrize(
    ("make", "most"), [(palette_png, 320), (transparent_png, 512)], ids=["palette", "alpha"]
)
def test_the_largest_image_takes_memory_as_stated(
    tmp_path: Path, make: Callable[[], bytes], most: int
) -> None:
    (tmp_path / "a.png").write_bytes(make())
    code = """if True:
        import resource, sys
        from pathlib import Path
        from pipeline.scans.images import read_image
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert read_image(Path(sys.argv[1])).shape == (8000, 8000, 3)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < most  # MB


@pytest.mark.slow
def test_a_wide_scan_of_16_bits_is_read(tmp_path: Path) -> None:
    width, height = 30_000, 2_133
    assert width * height <= MAX_PIXELS
    (tmp_path / "a.png").write_bytes(
        png(width, height, 16, 0, rows=(b"\0" + b"\x17\xff" * width) * height)
    )
    found = read_image(tmp_path / "a.png")
    assert found.shape == (height, width, 1)
    assert found.min() == found.max() == 23


def test_a_tiff_of_a_strip_for_each_row_is_read(tmp_path: Path) -> None:
    rows = 30_000
    offsets = struct.pack(f"<{rows}I", *range(300 + 8 * rows, 300 + 9 * rows))
    counts = struct.pack(f"<{rows}I", *[1] * rows)
    size = (256, 4, 1, 1), (257, 4, 1, rows), (278, 4, 1, 1)
    strips = (273, 4, rows, 300), (279, 4, rows, 300 + 4 * rows)
    pixels = np.arange(rows).astype(np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(*size, *strips, more=offsets + counts + pixels.tobytes()))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[:, 0, 0], pixels)


def test_threads_share_the_pixels_that_are_decoded_at_a_time(tmp_path: Path) -> None:
    sides = {"large": 6000, "small": 100}
    for name, side in sides.items():
        (tmp_path / name).write_bytes(png(side, side, 8, 0, chunk(b"IDAT", b"")))
    lock, now, most = threading.Lock(), [0, 0], {"pixels": 0, "images": 0}

    def decode(image: Image.Image) -> images.Pixels:
        with lock:
            now[0] += image.width * image.height
            now[1] += 1
            most["pixels"] = max(most["pixels"], now[0])
            most["images"] = max(most["images"], now[1])
        time.sleep(0.02)
        with lock:
            now[0] -= image.width * image.height
            now[1] -= 1
        return np.zeros((1, 1, 1), dtype=np.uint8)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: images._open(tmp_path / name, decode), list(sides) * 8))
    assert sides["large"] ** 2 < most["pixels"] <= MAX_PIXELS
    assert most["images"] > 2


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.png"))
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for kind in ("FIFO", "socket", "device"):
        path = tmp_path / f"{kind.lower()}.png"
        with pytest.raises(InputError, match=f"a {kind}, not a file: remove it"):
            read_image(path)
