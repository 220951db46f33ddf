import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervision import Detections

from pipeline.sources.detections import mask_of

WIDTH, HEIGHT = 30, 20


def boxed(*box: float) -> Detections:
    return Detections(xyxy=np.array([box], dtype=np.float32), class_id=np.array([0]))


@given(data=st.data())
def test_a_box_between_pixels_is_filled(data: st.DataObject) -> None:
    left, right = sorted(data.draw(st.sets(st.integers(-9, 39), min_size=2, max_size=2)))
    top, bottom = sorted(data.draw(st.sets(st.integers(-9, 29), min_size=2, max_size=2)))
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    for row in range(max(top, 0), min(bottom, HEIGHT)):
        for column in range(max(left, 0), min(right, WIDTH)):
            expected[row, column] = True
    if not expected.any():
        with pytest.raises(ValueError, match="a box outside of the image of 30x20"):
            mask_of(boxed(left, top, right, bottom), (WIDTH, HEIGHT))
        return
    found = mask_of(boxed(left, top, right, bottom), (WIDTH, HEIGHT))
    np.testing.assert_array_equal(found, expected)


@given(
    left=st.floats(-9, 29.9),
    top=st.floats(-9, 19.9),
    width=st.floats(0.01, 50),
    height=st.floats(0.01, 50),
)
def test_a_box_across_pixels_is_filled_to_half_a_pixel(
    left: float, top: float, width: float, height: float
) -> None:
    right, bottom = left + width, top + height
    if right <= 0.01 or bottom <= 0.01:
        return
    rows, columns = np.nonzero(mask_of(boxed(left, top, right, bottom), (WIDTH, HEIGHT)))
    for pixels, start, stop, length in (
        (rows, top, bottom, HEIGHT),
        (columns, left, right, WIDTH),
    ):
        assert abs(pixels.min() - np.clip(start, 0, length)) <= 1
        assert abs(pixels.max() + 1 - np.clip(stop, 0, length)) <= 1


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 5, 9, 5), (0, 0, 0, 0)])
def test_a_box_without_area_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a box without area"):
        mask_of(boxed(*box), (WIDTH, HEIGHT))
