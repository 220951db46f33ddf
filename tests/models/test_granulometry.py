"""Granulometry: openings against scipy's, and terms that grow with what is added to a window."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from pipeline.common.names import Image
from pipeline.models.granulometry import (
    METAL_LEVEL,
    RADII,
    attenuation_maps,
    granulometry,
    map_names,
    opened,
    pixel_terms,
    texture,
)
from tests.arrays import clutter

SIDE, RADIUS = 64, 5
BLUE = (30, 80, 170)  # metal: red is 0.5 less 0.38


def with_disc(radius: int = RADIUS) -> Image:
    """Return a white window with a disc of metal in its middle."""
    rows, columns = np.indices((SIDE, SIDE)) - SIDE // 2
    image = np.full((SIDE, SIDE, 3), 255, np.uint8)
    image[rows**2 + columns**2 <= radius**2] = BLUE
    return image


@pytest.mark.parametrize("radius", RADII)
def test_an_opening_is_an_erosion_and_a_dilation_by_the_same_disc(radius: int) -> None:
    maps = clutter(0, 3, 40, 52)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2).astype(bool)
    assert disc.sum() == pytest.approx(np.pi * (radius + 0.5) ** 2, rel=0.35)
    found = opened(maps, radius)
    for channel in range(3):
        eroded = ndimage.grey_erosion(maps[..., channel], footprint=disc, mode="constant", cval=255)
        expected = ndimage.grey_dilation(eroded, footprint=disc, mode="constant", cval=0)
        np.testing.assert_array_equal(found[..., channel], expected)


def test_an_opening_keeps_what_is_thicker_than_its_disc() -> None:
    terms = pixel_terms(with_disc()[None])
    for radius in RADII:
        (found,) = terms[f"metal_max_{radius}"]
        expected = METAL_LEVEL - BLUE[0] / 255 if radius <= RADIUS else 0
        assert found == pytest.approx(expected, abs=1 / 255), radius
    area = np.count_nonzero(with_disc()[..., 0] == BLUE[0]) / SIDE**2
    assert terms["metal_mean_0"][0] == pytest.approx(area * terms["metal_max_0"][0])


def test_the_maps_follow_from_the_channels() -> None:
    colour = np.array([[[100, 200, 180]]], np.uint8)
    assert map_names(3) == ("metal", "dense", "attenuation", "hue")
    assert attenuation_maps(colour)[0, 0].tolist() == [27, 0, 95, 80]
    assert attenuation_maps(np.full((1, 1, 3), 20, np.uint8))[0, 0].tolist() == [107, 56, 235, 0]
    energies = np.array([[[60, 100]]], np.uint8)
    assert attenuation_maps(energies)[0, 0].tolist() == [67, 0, 175, 40]
    assert map_names(1) == ("metal", "dense", "attenuation")
    assert attenuation_maps(np.full((1, 1, 1), 60, np.uint8))[0, 0].tolist() == [67, 16, 195]


def test_what_is_laid_over_a_window_lowers_no_term_of_what_it_absorbs() -> None:
    window = clutter(1, 3, SIDE, SIDE)
    shadow = with_disc().astype(np.uint16) // 2 + 127
    darker = (window * shadow // 255).astype(np.uint8)
    before, after = pixel_terms(window[None]), pixel_terms(darker[None])
    names = [name for name in before if name.split("_")[0] in ("metal", "dense", "attenuation")]
    assert len(names) == 3 * 2 * len(RADII)
    assert all(after[name] >= before[name] for name in names)
    assert after["attenuation_mean_4"] > before["attenuation_mean_4"]


def test_every_window_has_its_own_terms() -> None:
    windows = np.stack([clutter(seed, 3, SIDE, SIDE) for seed in range(3)])
    together = pixel_terms(windows)
    for row in range(3):
        alone = pixel_terms(windows[row : row + 1])
        for name, values in together.items():
            assert values[row] == pytest.approx(alone[name][0]), name
    found = granulometry([np.zeros((8, 8, 1), np.uint8)], ["none"], (0, 2))
    assert set(found) == {"none_mean_0", "none_max_0", "none_mean_2", "none_max_2"}


def test_texture_is_what_a_blur_takes_away() -> None:
    smooth = np.full((1, SIDE, SIDE, 3), 90, np.uint8)
    rough = smooth.copy()
    rough[:, ::2] = 110
    assert all(values[0] == pytest.approx(0, abs=1e-6) for values in texture(smooth).values())
    found = {name: values[0] for name, values in texture(rough).items()}
    assert found["variation"] == pytest.approx(10 / 255, rel=1e-5)  # of rows 20, of columns 0
    assert found["deviation"] == pytest.approx(10 / 255, rel=1e-5)
    assert found["detail_4"] == pytest.approx(10 / 255, rel=0.05)
