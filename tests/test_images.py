from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.images import list_images, read_index_mask, read_rgb
from tests.conftest import write_image

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_rgb_comes_back_in_rgb_order(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", COLOURS[:, :, ::-1])
    np.testing.assert_array_equal(read_rgb(path), COLOURS)


def test_grey_is_repeated_and_alpha_dropped(tmp_path: Path) -> None:
    grey = COLOURS[:, :, 0]
    found = read_rgb(write_image(tmp_path / "grey.png", grey))
    np.testing.assert_array_equal(found, np.repeat(grey[:, :, None], 3, axis=2))
    with_alpha = np.dstack([COLOURS[:, :, ::-1], np.full((6, 8), 7, dtype=np.uint8)])
    np.testing.assert_array_equal(read_rgb(write_image(tmp_path / "rgba.png", with_alpha)), COLOURS)


def truncated(path: Path) -> Path:
    write_image(path, np.repeat(COLOURS, 40, axis=0))
    path.write_bytes(path.read_bytes()[:60])
    return path


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    truncated(tmp_path / "cut.png")
    for name in ("text.png", "empty.png", "cut.png"):
        with pytest.raises(InputError, match=f"{name}: not an image that can be decoded"):
            read_rgb(tmp_path / name)
    with pytest.raises(InputError, match=r"none\.png: cannot be read: No such file"):
        read_rgb(tmp_path / "none.png")


def test_a_mask_of_colours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.png: expected a mask of one 8-bit channel"):
        read_index_mask(write_image(tmp_path / "m.png", COLOURS))


def test_a_missing_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such folder: set scans\.folder"):
        list_images(tmp_path / "none")
    with pytest.raises(InputError, match=r"no image in it: expected files \.png"):
        list_images(tmp_path)
    cv2.imwrite(str(tmp_path / "b.PNG"), COLOURS)
    assert [path.name for path in list_images(tmp_path)] == ["b.PNG"]
