import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED, NORMAL
from pipeline.patches import windows
from pipeline.patches.windows import (
    GRAZING,
    foreground_mask,
    keep_ignored,
    keep_normal,
    keep_windows,
    label_windows,
    stitch,
    top_non_overlapping,
    window_origins,
    window_pixels,
    window_sums,
)
from pipeline.scans.scan import Region, Scan
from pipeline.settings.windows import WindowRule

RULE = WindowRule(size=16, stride=8)


def scan_with(mask: np.ndarray | None) -> Scan:
    image = np.full((48, 64, 3), 120, dtype=np.uint8)
    regions = () if mask is None else (Region("gun", mask),)
    return Scan("s", image, regions)


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((48, 64), dtype=np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


@given(
    height=st.integers(16, 90),
    width=st.integers(16, 90),
    stride=st.integers(1, 16),
)
def test_windows_cover_every_pixel_and_stay_inside(height: int, width: int, stride: int) -> None:
    covered = np.zeros((height, width), dtype=np.bool_)
    origins = window_origins(height, width, 16, stride)
    for row, column in origins:
        assert 0 <= row <= height - 16
        assert 0 <= column <= width - 16
        covered[row : row + 16, column : column + 16] = True
    assert covered.all()
    assert len(np.unique(origins, axis=0)) == len(origins)


@pytest.mark.parametrize(
    ("height", "width", "count"), [(16, 16, 1), (48, 64, 5 * 7), (17, 16, 2), (25, 16, 3)]
)
def test_window_counts(height: int, width: int, count: int) -> None:
    assert len(window_origins(height, width, 16, 8)) == count


def test_a_window_larger_than_the_scan_is_refused() -> None:
    with pytest.raises(InputError, match="64x15 pixels is smaller than a window of 16x16"):
        window_origins(15, 64, 16, 8)


@given(st.integers(0, 2**32 - 1))
def test_window_sums_equal_plain_sums(seed: int) -> None:
    mask = np.random.default_rng(seed).random((40, 50)) < 0.3
    origins = window_origins(40, 50, 16, 7)
    plain = [mask[r : r + 16, c : c + 16].sum() for r, c in origins]
    assert window_sums(mask, origins, 16).tolist() == plain


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pixels_are_those_of_the_scan(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 200, (48, 64, channels), dtype=np.uint8)
    origins = window_origins(48, 64, 16, 8)
    windows = window_pixels(image, origins, RULE)
    assert windows.shape == (35, 16, 16, channels)
    for pixels, (row, column) in zip(windows, origins, strict=True):
        np.testing.assert_array_equal(pixels, image[row : row + 16, column : column + 16])


def test_a_threat_covering_enough_of_the_window_names_it() -> None:
    # 26 of 256 pixels are just over 10%, 25 just under; half of either threat is elsewhere.
    enough, short = box(0, 0, 2, 13), box(0, 0, 5, 5)
    enough[40:, 30:60] = short[40:, 30:60] = True
    origin = np.array([[0, 0]], dtype=np.int32)
    assert label_windows(scan_with(enough), origin, RULE) == ["gun"]
    assert label_windows(scan_with(short), origin, RULE) == [GRAZING]


def test_half_of_a_small_threat_in_the_window_names_it() -> None:
    small = box(0, 14, 2, 4)  # 8 pixels: 4 of them in the first window
    origins = np.array([[0, 0], [0, 1], [0, 40]], dtype=np.int32)
    assert label_windows(scan_with(small), origins, RULE) == ["gun", "gun", NORMAL]


def test_half_of_one_threat_is_enough_whatever_another_covers() -> None:
    regions = (Region("gun", box(0, 14, 2, 4)), Region("knife", box(24, 0, 20, 40)))
    scan = Scan("s", np.full((48, 64, 3), 120, dtype=np.uint8), regions)
    assert label_windows(scan, np.array([[0, 0]], dtype=np.int32), RULE) == ["gun"]


def test_the_larger_of_two_threats_names_the_window() -> None:
    regions = (Region("knife", box(0, 0, 4, 8)), Region("gun", box(4, 0, 8, 8)))
    scan = Scan("s", np.full((48, 64, 3), 120, dtype=np.uint8), regions)
    assert label_windows(scan, np.array([[0, 0]], dtype=np.int32), RULE) == ["gun"]


def test_of_two_threats_that_cover_as_much_the_first_names_the_window() -> None:
    regions = (Region("knife", box(0, 0, 8, 4)), Region("gun", box(8, 0, 4, 8)))
    scan = Scan("s", np.full((48, 64, 3), 120, dtype=np.uint8), regions)
    assert label_windows(scan, np.array([[0, 0]], dtype=np.int32), RULE) == ["knife"]


def test_grazing_and_empty_windows_are_left_out_and_counted() -> None:
    scan = scan_with(box(0, 0, 20, 20))
    scan.image[:, 40:] = 255
    windows = keep_windows(scan, RULE)
    labels = label_windows(scan, window_origins(48, 64, 16, 8), RULE)
    assert windows.background > 0
    assert windows.grazing == labels.count(GRAZING) > 0
    assert len(windows.labels) == 35 - windows.background - windows.grazing
    assert set(windows.labels) == {NORMAL, "gun"}


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_whole_mode_gives_one_resized_window(channels: int) -> None:
    scan = scan_with(box(0, 0, 3, 3))
    scan = Scan("s", np.ascontiguousarray(scan.image[..., :channels]), scan.regions)
    rule = WindowRule(mode="whole", size=32)
    windows = keep_windows(scan, rule)
    assert window_pixels(scan.image, windows.origins, rule).shape == (1, 32, 32, channels)
    assert windows.labels == ("gun",)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_foreground_is_darker_than_air_in_some_channel(channels: int) -> None:
    image = np.random.default_rng(0).integers(230, 256, (48, 64, channels), dtype=np.uint8)
    np.testing.assert_array_equal(foreground_mask(image), (image < 240).any(axis=2))


def test_stitching_weighs_windows_by_how_near_their_centres_are() -> None:
    origins = np.array([[0, 0], [0, 2]], dtype=np.int32)
    heat = stitch(np.array([1.0, 3.0]), origins, 4, 5, 6)
    # Along a window the weights are 1, 2, 2, 1.
    np.testing.assert_allclose(heat[0], [1, 1, (2 * 1 + 3) / 3, (1 + 2 * 3) / 3, 3, 3])
    np.testing.assert_array_equal(heat[:4], np.tile(heat[0], (4, 1)))
    assert np.isnan(heat[4]).all()


def test_a_single_high_window_is_as_high_inside_a_map_as_at_its_edge() -> None:
    origins = window_origins(64, 64, 16, 8)
    for place in ([0, 0], [0, 24], [24, 24], [48, 48]):
        scores = (origins == place).all(axis=1).astype(float)
        centre = place[0] + 8, place[1] + 8
        assert stitch(scores, origins, 16, 64, 64)[centre] > 0.75, place


@pytest.mark.parametrize("size", [8, 48, 0])
def test_a_side_that_the_network_cannot_take_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"^size: got {size}, expected a power of 2, 16 to"):
        WindowRule(size=size)


def test_what_touches_an_ignored_object_is_neither_normal_nor_abnormal() -> None:
    regions = (Region("gun", box(0, 0, 16, 16)), Region(IGNORED, box(0, 8, 16, 24)))
    scan = Scan("s", scan_with(None).image, regions)
    origins = np.array([(0, 0), (0, 8), (0, 16), (0, 40), (24, 16)])
    expected = ["gun", "gun", GRAZING, NORMAL, NORMAL]
    assert label_windows(scan, origins, RULE) == expected
    turned = Scan("s", scan.image, regions[::-1])
    assert label_windows(turned, origins, RULE) == expected


def test_a_whole_scan_with_an_ignored_object_alone_is_left_out() -> None:
    rule = WindowRule(mode="whole", size=16)
    ignored, gun = Region(IGNORED, box(0, 0, 40, 40)), Region("gun", box(0, 0, 4, 4))
    image = scan_with(None).image
    cut = keep_windows(Scan("s", image, (ignored,)), rule)
    assert len(window_pixels(image, cut.origins, rule)) == 0
    assert (cut.labels, cut.grazing) == ((), 1)
    assert keep_windows(Scan("s", image, (ignored, gun)), rule).labels == ("gun",)


def test_windows_on_ignored_objects_without_a_threat_are_kept_apart() -> None:
    gun, one, other = box(0, 0, 8, 8), box(0, 12, 20, 20), box(40, 40, 4, 4)
    regions = (Region(IGNORED, one), Region("gun", gun), Region(IGNORED, other))
    scan, ignored = Scan("s", scan_with(None).image, regions), one | other
    scan.image[24:, 40:] = 255  # background
    windows = keep_ignored(scan, RULE)
    expected = [
        (row, column)
        for row, column in window_origins(48, 64, 16, 8).tolist()
        if ignored[row : row + 16, column : column + 16].any()
        and not gun[row : row + 16, column : column + 16].any()
        and (scan.image[row : row + 16, column : column + 16] < 240).any()
    ]
    assert [tuple(origin) for origin in windows.origins.tolist()] == expected
    assert windows.labels == (IGNORED,) * len(expected)
    assert len(set(expected) & {(16, 8), (16, 24)}) == 2
    assert not keep_ignored(scan_with(gun), RULE).labels


@pytest.mark.parametrize(
    ("names", "labels"), [([IGNORED], (IGNORED,)), ([IGNORED, "gun"], ()), ([], ())]
)
def test_a_whole_scan_with_an_ignored_object_alone_is_kept_apart(
    names: list[str], labels: tuple[str, ...]
) -> None:
    regions = tuple(Region(name, box(0, 0, 4, 4)) for name in names)
    scan = Scan("s", scan_with(None).image, regions)
    windows = keep_ignored(scan, WindowRule(mode="whole", size=16))
    assert windows.labels == labels
    assert windows.origins.tolist() == [[0, 0]] * len(labels)


@given(
    share=st.integers(1, 256),  # of the 256 pixels of a window
    covered=st.integers(1, 256),
    elsewhere=st.integers(1, 512),
)
def test_a_window_is_a_threat_s_from_the_stated_share_of_the_window_on(
    share: int, covered: int, elsewhere: int
) -> None:
    rule = WindowRule(size=16, stride=16, min_window_share=share / 256, min_threat_share=1)
    found = label_windows(split_threat(covered, elsewhere), TWO_WINDOWS, rule)
    assert found == ["gun" if covered >= share else GRAZING, NORMAL]


@given(share=st.integers(1, 64), covered=st.integers(1, 64))
def test_a_window_is_a_threat_s_from_the_stated_share_of_the_threat_on(
    share: int, covered: int
) -> None:
    """The threat has 64 pixels, fewer than a window has to be covered by."""
    rule = WindowRule(size=16, stride=16, min_window_share=65 / 256, min_threat_share=share / 64)
    found = label_windows(split_threat(covered, 64 - covered), TWO_WINDOWS, rule)
    assert found == ["gun" if covered >= share else GRAZING, NORMAL]


TWO_WINDOWS = np.array([[0, 0], [0, 16]], dtype=np.int32)


def split_threat(covered: int, elsewhere: int) -> Scan:
    """A threat with so many pixels in the first window, none in the second, others below."""
    mask = np.zeros((48, 64), dtype=np.bool_)
    mask[:16, :16].flat[:covered] = True
    mask[16:].flat[:elsewhere] = True
    return scan_with(mask)


@settings(max_examples=40)
@given(seed=st.integers(0, 999), share=st.integers(0, 256))
@example(seed=0, share=95)  # as 4 of its windows have
def test_windows_are_kept_from_the_stated_share_of_foreground_on(seed: int, share: int) -> None:
    generator = np.random.default_rng(seed)
    air = generator.random((48, 64)) < generator.random()
    image = np.where(air[..., None], 250, 100).repeat(3, axis=2).astype(np.uint8)
    rule = WindowRule(size=16, stride=8, min_foreground=share / 256)
    windows = keep_windows(Scan("s", image, ()), rule)
    slow = {
        (row, column): int((~air[row : row + 16, column : column + 16]).sum())
        for row in range(0, 33, 8)
        for column in range(0, 49, 8)
    }
    kept = [place for place, count in slow.items() if count >= share]
    assert [tuple(origin) for origin in windows.origins.tolist()] == kept
    assert windows.background == len(slow) - len(kept)


@given(height=st.integers(16, 60), width=st.integers(16, 60), stride=st.integers(1, 16))
def test_a_map_of_equal_scores_is_that_score_in_every_pixel(
    height: int, width: int, stride: int
) -> None:
    origins = window_origins(height, width, 16, stride)
    assert (stitch(np.full(len(origins), 3.0), origins, 16, height, width) == 3).all()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("stride", 0, "1 or more"),
        ("min_foreground", 1.1, "a share from 0 to 1"),
        ("min_window_share", -0.1, "a share from 0 to 1"),
        ("min_threat_share", 2, "a share from 0 to 1"),
    ],
)
def test_a_rule_out_of_its_range_is_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(InputError, match=rf"^{name}: got {value}, expected {expected}"):
        WindowRule(**{name: value})  # type: ignore[arg-type]


def test_both_ends_of_a_rule_s_ranges_are_allowed() -> None:
    for share in (0, 1):
        WindowRule(
            size=16, stride=1, min_foreground=share, min_window_share=share, min_threat_share=share
        )


def test_normal_windows_are_those_that_touch_no_threat() -> None:
    scan = scan_with(box(0, 0, 20, 20))
    scan.image[:16, 48:] = 255
    found = keep_windows(scan, RULE)
    normal = keep_normal(found)
    kept = [number for number, label in enumerate(found.labels) if label == NORMAL]
    assert 0 < len(kept) < len(found.labels)
    np.testing.assert_array_equal(normal.origins, found.origins[kept])
    assert normal.labels == (NORMAL,) * len(kept)
    assert normal.grazing == found.grazing + len(found.labels) - len(kept)
    assert normal.background == found.background > 0
    empty = keep_windows(Scan("air", np.full((48, 64, 3), 255, dtype=np.uint8), ()), RULE)
    left = keep_normal(empty)
    assert (len(left.origins), left.labels, left.grazing, left.background) == (0, (), 0, 35)


def test_a_whole_scan_is_named_by_its_largest_threat_and_shrunk_by_area() -> None:
    sides = {"a": 4, "b": 9, "c": 6}
    regions = [Region(name, box(0, 0, side, side)) for name, side in sides.items()]
    image = np.random.default_rng(0).integers(200, 256, (48, 48, 3), dtype=np.uint8)
    rule = WindowRule(mode="whole", size=16)
    whole = keep_windows(Scan("s", image, tuple(regions)), rule)
    assert (whole.labels, whole.grazing, whole.background) == (("b",), 0, 0)
    assert whole.origins.tolist() == [[0, 0]]
    means = image.reshape(16, 3, 16, 3, 3).mean(axis=(1, 3))
    (pixels,) = window_pixels(image, whole.origins, rule)
    np.testing.assert_allclose(pixels, means, atol=0.51)


def test_a_map_is_float32_and_has_a_score_for_each_window() -> None:
    origins = np.array([[0, 0], [0, 2]], dtype=np.int32)
    assert stitch(np.array([1.0, 3.0]), origins, 4, 4, 6).dtype == np.float32
    with pytest.raises(IndexError, match="size of axis is 1 but"):
        stitch(np.array([1.0]), origins, 4, 4, 6)


def test_of_windows_that_overlap_the_highest_is_taken() -> None:
    origins = np.array([[0, 0], [0, 8], [0, 16], [8, 0], [40, 0]], dtype=np.int32)
    scores = np.array([0.8, 0.9, 0.7, 0.85, 0.1])
    assert top_non_overlapping(scores, origins, 16, 3) == [1, 4]
    assert top_non_overlapping(scores[[0, 2, 4]], origins[[0, 2, 4]], 16, 2) == [0, 1]
    assert top_non_overlapping(scores[:0], origins[:0], 16, 2) == []


def test_several_scores_are_stitched_as_each_alone() -> None:
    origins = window_origins(40, 56, 16, 12)[1:]
    scores = np.random.default_rng(0).normal(size=(len(origins), 3))
    together = stitch(scores, origins, 16, 40, 56)
    for place in range(3):
        alone = stitch(scores[:, place], origins, 16, 40, 56)
        np.testing.assert_allclose(together[:, :, place], alone, rtol=1e-6)
    assert np.isnan(together[0, 0]).all()


@pytest.mark.parametrize("columns", [5, 16, 17, 40])
def test_a_map_does_not_depend_on_the_strips_in_which_it_is_stitched(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins = window_origins(40, 90, 16, 12)[2:]
    scores = np.random.default_rng(1).normal(size=len(origins))
    whole = stitch(scores, origins, 16, 40, 90)
    monkeypatch.setattr(windows, "STRIP", columns)
    np.testing.assert_array_equal(stitch(scores, origins, 16, 40, 90), whole)
