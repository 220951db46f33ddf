import numpy as np

from pipeline.figures import displayable

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)


def test_colour_is_shown_as_it_is_and_grey_as_grey() -> None:
    np.testing.assert_array_equal(displayable(IMAGE), IMAGE)
    np.testing.assert_array_equal(displayable(IMAGE[..., :1]), IMAGE[..., [0, 0, 0]])


def test_what_stops_only_the_low_energy_is_shown_blue() -> None:
    shown = displayable(IMAGE[..., :2])
    np.testing.assert_array_equal(shown[..., [0, 2]], IMAGE[..., :2])
    assert (shown.max(axis=2) == IMAGE[..., :2].max(axis=2)).all()
    assert displayable(np.array([[[40, 200]]], np.uint8)).tolist() == [[[40, 120, 200]]]
