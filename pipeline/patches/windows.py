"""Windows over a scan: placing, choosing and labelling them, and stitching scores to a map."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.common.errors import InputError
from pipeline.common.names import IGNORED, NORMAL, Image
from pipeline.patches.kept_windows import KeptWindows
from pipeline.scans.scan import Scan
from pipeline.settings.windows import WindowRule

GRAZING = "grazing"  # touches a threat, but too little of it to be normal or abnormal

# Air is bright in every channel: in grey, in low and high energy, and in commercial pseudo-colour,
# where it is white. Anything that absorbs is darker in some channel.
BACKGROUND_LEVEL = 240
STRIP = 4096  # columns whose sums `stitch` has in memory at a time


def axis_origins(length: int, size: int, stride: int) -> list[int]:
    """Return the origins along one axis; the last window is moved back to end at the edge."""
    last = length - size
    regular = list(range(0, last + 1, stride))
    return regular if regular[-1] == last else [*regular, last]


def window_origins(height: int, width: int, size: int, stride: int) -> NDArray[np.int32]:
    """Return the origins (N, 2) of the windows of a height x width scan, edges included.

    They cover every pixel if `stride` is at most `size`.

    Raises:
        InputError: the scan is smaller than a window.
    """
    if min(height, width) < size:
        raise InputError(
            f"a scan of {width}x{height} pixels is smaller than a window of {size}x{size}: "
            "lower extract.size or leave the scan out"
        )
    axes = (axis_origins(length, size, stride) for length in (height, width))
    grid = np.meshgrid(*axes, indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 2).astype(np.int32)


def foreground_mask(image: Image) -> NDArray[np.bool_]:
    """Return (H, W) True where something absorbs: a channel of (H, W, C) < `BACKGROUND_LEVEL`."""
    air = (BACKGROUND_LEVEL,) * 4, (255,) * 4
    return np.asarray(cv2.inRange(image, *air) == 0)  # 30 times as fast as a minimum over C


def window_sums(
    mask: NDArray[np.bool_], origins: NDArray[np.int32], size: int
) -> NDArray[np.int64]:
    """Count the True pixels of each window, (N,), by a summed-area table."""
    table = cv2.integral(mask.view(np.uint8))  # (H + 1, W + 1) int32
    top, left = origins[:, 0], origins[:, 1]
    bottom, right = top + size, left + size
    sums = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return sums.astype(np.int64)


def foreground_origins(image: Image, rule: WindowRule) -> NDArray[np.int32]:
    """Return the origins, (N, 2), of the windows of a scan (H, W, C) that are not background.

    Of a background window, too little absorbs (`rule.min_foreground`).

    Raises:
        InputError: the scan is smaller than a window.
    """
    height, width = image.shape[:2]
    origins = window_origins(height, width, rule.size, rule.stride)
    foreground = window_sums(foreground_mask(image), origins, rule.size) / rule.size**2
    return origins[foreground >= rule.min_foreground]


def label_windows(scan: Scan, origins: NDArray[np.int32], rule: WindowRule) -> list[str]:
    """Name each window: an abnormal class, ``grazing`` or ``normal``.

    If several threats qualify, the threat that covers most of the window names it. A window that
    touches an ignored object and no threat counts as grazing.
    """
    labels = np.full(len(origins), NORMAL, dtype=object)
    most = np.zeros(len(origins), dtype=np.int64)
    for region in scan.regions:
        covered = window_sums(region.mask, origins, rule.size)
        enough = (covered >= rule.min_window_share * rule.size**2) | (
            covered >= rule.min_threat_share * max(int(region.mask.sum()), 1)
        )
        enough &= region.class_name != IGNORED
        labels[(covered > 0) & (most == 0) & ~enough] = GRAZING
        winner = (covered > 0) & enough & (covered > most)
        labels[winner], most[winner] = region.class_name, covered[winner]
    return [str(label) for label in labels]


def keep_windows(scan: Scan, rule: WindowRule) -> KeptWindows:
    """Return a scan's windows without empty background and windows that graze a threat.

    Raises:
        InputError: the scan is smaller than a window.
    """
    if rule.mode == "whole":
        return _keep_whole(scan)
    height, width = scan.image.shape[:2]
    windows = len(window_origins(height, width, rule.size, rule.stride))
    origins = foreground_origins(scan.image, rule)
    labels = np.array(label_windows(scan, origins, rule), dtype=np.str_)
    kept = labels != GRAZING
    return KeptWindows(
        origins=origins[kept],
        labels=tuple(labels[kept].tolist()),
        grazing=int((~kept).sum()),
        background=windows - len(origins),
    )


def keep_ignored(scan: Scan, rule: WindowRule) -> KeptWindows:
    """Return the windows on ignored objects that touch no threat, and are not background.

    They are neither normal nor abnormal, but count in a bag, where nobody knows the objects.
    """
    if rule.mode == "whole":
        alone = _keep_whole(scan).grazing
        return KeptWindows(np.zeros((alone, 2), dtype=np.int32), (IGNORED,) * alone, 0, 0)
    origins = foreground_origins(scan.image, rule)
    ignored = np.zeros(scan.image.shape[:2], dtype=np.bool_)
    for region in scan.regions:
        ignored |= region.mask & (region.class_name == IGNORED)
    touches_ignored = window_sums(ignored, origins, rule.size) > 0
    kept = origins[touches_ignored & (window_sums(scan.threats(), origins, rule.size) == 0)]
    return KeptWindows(kept, (IGNORED,) * len(kept), 0, 0)


def keep_normal(windows: KeptWindows) -> KeptWindows:
    """Keep the normal windows alone; count abnormal windows as `grazing`."""
    kept = np.array([label == NORMAL for label in windows.labels], dtype=np.bool_)
    return replace(
        windows,
        origins=windows.origins[kept],
        labels=(NORMAL,) * int(kept.sum()),
        grazing=windows.grazing + int((~kept).sum()),
    )


def window_pixels(image: Image, origins: NDArray[np.int32], rule: WindowRule) -> NDArray[np.uint8]:
    """Return the pixels of the windows at `origins`, (N, size, size, C)."""
    size = rule.size
    if rule.mode == "whole":
        return _resized(image, size)[None][: len(origins)]
    every = sliding_window_view(image, (size, size, image.shape[2]))[:, :, 0]  # a view, no copy
    return every[origins[:, 0], origins[:, 1]]


def _keep_whole(scan: Scan) -> KeptWindows:
    """Return the whole scan as one window, named by its largest threat."""
    threats = [region for region in scan.regions if region.class_name != IGNORED]
    largest = max(threats, key=lambda region: int(region.mask.sum()), default=None)
    kept = 0 if scan.regions and not threats else 1  # ignored objects alone: no label
    return KeptWindows(
        origins=np.zeros((kept, 2), dtype=np.int32),
        labels=(largest.class_name if largest else NORMAL,)[:kept],
        grazing=1 - kept,
        background=0,
    )


def _resized(image: Image, size: int) -> Image:
    if image.shape[:2] == (size, size):
        return image
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    # OpenCV drops the axis of a single channel.
    return np.asarray(resized, dtype=np.uint8).reshape(size, size, image.shape[2])


def top_non_overlapping(
    scores: NDArray[np.floating], origins: NDArray[np.integer], size: int, count: int
) -> list[int]:
    """Return the `count` highest windows of which none overlap (non-maximum suppression).

    Fewer if there are no more.

    Args:
        scores: (N,).
        origins: (N, axes) of the windows.
        size: the windows' side in pixels, on each axis.
        count: number of windows.
    """
    rows: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if len(rows) == count:
            break
        if not (np.abs(origins[rows] - origins[row]) < size).all(axis=1).any():
            rows.append(row)
    return rows


def stitch(
    scores: NDArray[np.floating], origins: NDArray[np.int32], size: int, height: int, width: int
) -> NDArray[np.float32]:
    """Return a score for each pixel: the mean of its windows, NaN where none is.

    A window's weight falls from its centre to its edges, so the pixel at a window's centre has the
    window's own score. Under equal weights, most pixels would average 4 windows but the pixels at
    a scan's edges only 1 or 2, and so the highest scores would be at the edges.

    Args:
        scores: (N,); or (N, S), for S scores of each window.
        origins: (N, 2) of the windows.
        size: the windows' side in pixels.
        height: of the scan in pixels.
        width: of the scan in pixels.

    Returns:
        (height, width), or (height, width, S).
    """
    by_window = scores[:, None] if scores.ndim == 1 else scores
    stitched = np.empty((height, width, by_window.shape[1]), dtype=np.float32)
    for left in range(0, width, STRIP):
        right = min(left + STRIP, width)
        near = (origins[:, 1] < right) & (origins[:, 1] + size > left)
        # With a window's width on both sides, so that every window lies within.
        places = origins[near] + np.array([0, size - left], dtype=np.int32)
        strip = _stitched(by_window[near], places, size, height, right - left + 2 * size)
        stitched[:, left:right] = strip[:, size:-size]
    return stitched.reshape(height, width, *scores.shape[1:])


def _stitched(
    scores: NDArray[np.floating], origins: NDArray[np.int32], size: int, height: int, width: int
) -> NDArray[np.float64]:
    """Return the weighted means of (N, S) scores, (height, width, S)."""
    ramp = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1))
    weights = np.outer(ramp, ramp)[:, :, None]
    total = np.zeros((height, width, scores.shape[1]), dtype=np.float64)
    weight = np.zeros((height, width, 1), dtype=np.int64)
    for score, (row, column) in zip(scores, origins.tolist(), strict=True):
        window = np.s_[row : row + size, column : column + size]
        total[window] += weights * score
        weight[window] += weights
    with np.errstate(invalid="ignore"):
        return np.divide(total, weight, out=total)
