import io
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pipeline.common.errors import InputError
from pipeline.scans.image_limits import MAX_PIXELS
from pipeline.scans.images import read_image, read_index_mask
from tests.tiny import write_image

GENERATOR = np.random.default_rng(0)
COLOURS = GENERATOR.integers(0, 256, (6, 8, 3), dtype=np.uint8)
DEEP = GENERATOR.integers(0, 2**16, (6, 8), dtype=np.uint16)
GREY = COLOURS[:, :, 0]


def saved(path: Path, values: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    Image.fromarray(values).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_8_bits_come_back_as_they_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    np.testing.assert_array_equal(read_image(saved(path, COLOURS)), COLOURS)
    np.testing.assert_array_equal(read_image(saved(path, GREY)), GREY[:, :, None])


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))))
def test_opencv_s_png_come_back_as_they_are(values: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_image(Path(folder, "a.png"), values[:, :, ::-1])
        np.testing.assert_array_equal(read_image(path), values)


def test_jpeg_is_read_as_opencv_reads_it(tmp_path: Path) -> None:
    smooth = cv2.resize(COLOURS, (64, 48))
    path = write_image(tmp_path / "a.jpg", smooth)
    found = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    assert np.abs(read_image(path).astype(int) - found).max() <= 2


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_16_bits_the_high_byte_is_taken(tmp_path: Path, suffix: str) -> None:
    grey = write_image(tmp_path / f"grey.{suffix}", DEEP)
    np.testing.assert_array_equal(read_image(grey)[:, :, 0], DEEP // 256)
    deep = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=2)
    colour = write_image(tmp_path / f"colour.{suffix}", deep[:, :, ::-1])
    np.testing.assert_array_equal(read_image(colour), deep // 256)


def test_16_bits_may_have_the_high_byte_first(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", DEEP.astype(">u2"))
    assert path.read_bytes().startswith(b"MM")
    np.testing.assert_array_equal(read_image(path)[:, :, 0], DEEP // 256)


def tiff(values: np.ndarray, bits: int, photometric: int) -> bytes:
    """A TIFF of one strip with uncompressed values, (H, W), of 12 or 16 bits."""
    packed = values.astype("<u2").tobytes()
    if bits == 12:
        packed = bytes.fromhex("".join(f"{value:03x}" for value in values.ravel()))
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1,
            278: height, 279: len(packed)}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack("<I", 8 + len(packed))
    return b"II*\0" + start + packed + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(("bits", "photometric"), [(12, 1), (16, 1), (16, 0)])
def test_bits_and_polarity_of_a_tiff_are_followed(
    tmp_path: Path, bits: int, photometric: int
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(DEEP >> (16 - bits), bits, photometric))
    high = (DEEP >> 8).astype(np.uint8)
    np.testing.assert_array_equal(read_image(path)[:, :, 0], high if photometric else 255 - high)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_12_bits_in_a_file_of_16_are_refused(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", np.array([[0, 4095]], dtype=np.uint16))
    with pytest.raises(InputError, match="16 bits, but no value above 4095, as if of 12 bits: sc"):
        read_image(path)
    saved(path, np.array([[0, 4096]], dtype=np.uint16))
    assert read_image(path).ravel().tolist() == [0, 16]


def test_palettes_and_single_bits_are_spelled_out(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOURS).quantize(16)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "p.png"), np.asarray(palette.convert("RGB"))
    )
    bits = GREY > 128
    found = read_image(saved(tmp_path / "bits.png", bits))
    np.testing.assert_array_equal(found, np.where(bits, 255, 0)[:, :, None])


@given(
    values=arrays(np.uint8, (3, 4, 4)),
    channels=st.sampled_from([2, 4]),
)
def test_transparency_lies_over_white(values: np.ndarray, channels: int) -> None:
    values = np.ascontiguousarray(values[:, :, :channels])
    values[0, 0, -1] = 255  # not all of it transparent
    file = io.BytesIO()
    Image.fromarray(values).save(file, "png")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        path.write_bytes(file.getvalue())
        found = read_image(path)
    share = values[:, :, -1:] / 255
    expected = values[:, :, :-1] * share + 255 * (1 - share)
    assert found.shape[2] == channels - 1
    assert np.abs(found - expected).max() <= 0.5 + 1e-9


def test_a_scan_read_in_several_bands_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.scans.images.BAND", 17)  # 2 rows of 8 pixels
    np.testing.assert_array_equal(read_image(saved(tmp_path / "rgb.png", COLOURS)), COLOURS)
    deep = read_image(write_image(tmp_path / "deep.png", DEEP[:5]))
    np.testing.assert_array_equal(deep[:, :, 0], DEEP[:5] // 256)
    clear = np.dstack([COLOURS, np.zeros_like(GREY)])
    clear[0, 0, 3] = 255  # in the first band alone
    found = read_image(saved(tmp_path / "clear.png", clear))
    assert found[0, 0].tolist() == COLOURS[0, 0].tolist()
    assert (found.reshape(-1, 3)[1:] == 255).all()


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(tmp_path / "p.png", transparency=1)
    assert read_image(tmp_path / "p.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_two_grey_pages_are_two_energies(tmp_path: Path) -> None:
    path = tmp_path / "energies.tif"
    assert cv2.imwritemulti(str(path), [DEEP, DEEP[::-1]])
    found = read_image(path)
    np.testing.assert_array_equal(found, np.stack([DEEP // 256, DEEP[::-1] // 256], axis=2))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise by a quarter
    saved(tmp_path / "a.png", COLOURS, exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(COLOURS, -1))


def test_a_wide_scan_within_the_limit_is_read(tmp_path: Path) -> None:
    wide = np.zeros((20, 30_000), dtype=np.uint8)
    assert read_image(saved(tmp_path / "wide.png", wide)).shape == (20, 30_000, 1)


def bomb(path: Path, side: int) -> None:
    """A PNG whose header says `side` pixels squared, with hardly any data."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "png")
    content = bytearray(file.getvalue())
    content[16:24] = side.to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    path.write_bytes(content)


@pytest.mark.parametrize("side", [8_001, 10_000, 30_000])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    assert side**2 > MAX_PIXELS
    bomb(tmp_path / "bomb.png", side)
    with pytest.raises(InputError, match=r"bomb\.png: .*more than 64,000,000 pixels"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@given(share=st.floats(0, 0.97))
def test_a_file_cut_short_is_never_read(suffix: str, share: float) -> None:
    picture = GENERATOR.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = saved(Path(folder, f"cut.{suffix}"), picture)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError) as error:
            read_image(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def animated(path: Path, kind: str) -> None:
    Image.fromarray(GREY).save(
        path, kind, save_all=True, append_images=[Image.fromarray(GREY[::-1])]
    )


REFUSED: dict[str, Callable[[Path], object]] = {
    "text.png": lambda path: path.write_text("hello"),
    "empty.png": Path.touch,
    "none.png": lambda path: None,
    "folder.png": Path.mkdir,
    "float.tif": lambda path: saved(path, np.full((4, 4), np.nan, dtype=np.float32)),
    "long.tif": lambda path: saved(path, DEEP.astype(np.int32)),
    "cmyk.jpg": lambda path: saved(path, COLOURS, "CMYK"),
    "gif.png": lambda path: animated(path, "gif"),
    "animated.png": lambda path: animated(path, "png"),
    "alpha.png": lambda path: saved(path, np.zeros((4, 4, 4), dtype=np.uint8)),
    "three.tif": lambda path: cv2.imwritemulti(str(path), [GREY] * 3),
    "unlike.tif": lambda path: cv2.imwritemulti(str(path), [GREY, GREY[:3]]),
    "colours.tif": lambda path: cv2.imwritemulti(str(path), [COLOURS] * 2),
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.png", "not an image that can be decoded: expected PNG, JPEG, TIFF, BMP"),
        ("empty.png", "not an image that can be decoded"),
        ("none.png", "cannot be read: No such file"),
        ("folder.png", "cannot be read: Is a directory"),
        ("float.tif", "pixels of kind F, expected 8 or 16 bits"),
        ("long.tif", "pixels of kind I, expected 8 or 16 bits"),
        ("cmyk.jpg", "pixels of kind CMYK, expected 8 or 16 bits"),
        ("gif.png", "not an image that can be decoded"),
        ("animated.png", "several pictures in one file"),
        ("alpha.png", "every pixel is transparent"),
        ("three.tif", "several pictures in one file"),
        ("unlike.tif", "pages of shape"),
        (
            "colours.tif",
            "pages of shape (6, 8, 3) and (6, 8, 3), expected 2 grey pages of one size",
        ),
    ],
)
def test_what_the_rule_does_not_cover_is_named(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    REFUSED[name](path)
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(error.value)


def odd_channels(path: Path, count: int, *extra: tuple[int, int, int]) -> None:
    """A TIFF with `count` samples a pixel, written tag by tag."""
    height, width = 4, 5
    tags = [
        (256, 3, width), (257, 3, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 200),
        (277, 3, count), (278, 3, height), (279, 4, width * height * count), *extra,
    ]  # fmt: skip
    entries = b"".join(
        tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little")
        + value.to_bytes(4, "little") for tag, kind, value in tags
    )  # fmt: skip
    header = b"II*\0" + (8).to_bytes(4, "little") + len(tags).to_bytes(2, "little")
    content = (header + entries + bytes(4)).ljust(200, b"\0")
    path.write_bytes(content + bytes(width * height * count))


@pytest.mark.parametrize("count", [2, 5, 7])
def test_odd_channel_counts_are_refused(tmp_path: Path, count: int) -> None:
    odd_channels(tmp_path / "odd.tif", count)
    with pytest.raises(InputError, match=r"odd\.tif: not an image that can be decoded"):
        read_image(tmp_path / "odd.tif")


def test_a_channel_of_no_stated_meaning_is_not_dropped(tmp_path: Path) -> None:
    odd_channels(tmp_path / "two.tif", 2, (338, 3, 0))
    with pytest.raises(InputError, match=r"two\.tif: a channel without a stated meaning"):
        read_image(tmp_path / "two.tif")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "secret.png", GREY)
    path.chmod(0)
    # Another user reads it in a process of its own, since root may read anything.
    code = (
        "import os, sys; from pathlib import Path; from pipeline.scans.images import read_image\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "read_image(Path(sys.argv[1]))"
    )
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert "secret.png: cannot be read: Permission denied" in done.stderr


def test_a_mask_is_read_as_indices(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_index_mask(saved(tmp_path / "m.png", GREY)), GREY)
    palette = Image.fromarray(np.array([[0, 2, 1]], dtype=np.uint8))
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "p.png")
    assert read_index_mask(tmp_path / "p.png").tolist() == [[0, 2, 1]]
    palette.putpalette([0, 0, 9, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "p.png")
    with pytest.raises(InputError, match=r"a palette whose index 0, .* colour \[0, 0, 9\], expect"):
        read_index_mask(tmp_path / "p.png")


def test_a_mask_is_turned_as_its_scan_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = read_index_mask(saved(tmp_path / "m.png", GREY, exif=exif))
    np.testing.assert_array_equal(mask, np.rot90(GREY, -1))


def test_a_mask_of_colours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.png: expected a mask of one 8-bit channel"):
        read_index_mask(saved(tmp_path / "m.png", COLOURS))


def test_a_mask_of_several_pages_is_refused(tmp_path: Path) -> None:
    assert cv2.imwritemulti(str(tmp_path / "m.tif"), [GREY, GREY])
    with pytest.raises(InputError, match=r"m\.tif: several pictures in one file, expected a mask"):
        read_index_mask(tmp_path / "m.tif")
