"""Distances between the perceptual hashes of altered copies, and of different scans.

`python -m benchmarks.near_duplicates FOLDER` prints these distances, to compare with `NEAR_BITS`,
and the time for 10,000 scans. FOLDER holds different scans.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from pipeline.scans.images import Pixels, read_image
from pipeline.scans.sources.folders import list_files
from pipeline.scans.survey import HASH_SIDE, NEAR_BITS, near_pairs, perceptual_hash

COMPARED = 10_000


def main() -> None:
    """Print a table of distances in bits."""
    images = list_files(Path(sys.argv[1])).images
    hashes = np.array([perceptual_hash(read_image(path)) for path in images])
    print(f"near: {NEAR_BITS} of {HASH_SIDE**2} bits or fewer; {len(images)} scans")
    for name, alter in ALTERED.items():
        altered = np.array([perceptual_hash(alter(read_image(path))) for path in images])
        _show(name, (altered != hashes).sum(axis=1))
    first, second = np.triu_indices(len(hashes), 1)
    _show("another scan", (hashes[first] != hashes[second]).sum(axis=1))
    random = np.random.default_rng(0).random((COMPARED, HASH_SIDE**2)) < 0.5
    start = time.perf_counter()
    near_pairs(random, ["train", "test"] * (COMPARED // 2))
    print(f"{COMPARED} scans compared in {time.perf_counter() - start:.1f} s")


def _show(name: str, bits: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> None:
    low, middle, high = bits.min(), np.median(bits), bits.max()
    print(f"{name:<14} least {low:>3}, median {middle:>5}, most {high:>3}")


def _jpeg(image: Pixels) -> Pixels:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _half(image: Pixels) -> Pixels:
    return np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5), dtype=np.uint8)


def _brighter(image: Pixels) -> Pixels:
    return np.clip(image * 1.05 + 5, 0, 255).astype(np.uint8)


def _cropped(image: Pixels) -> Pixels:
    edge = image.shape[1] // 100
    return np.ascontiguousarray(image[edge:-edge, edge:-edge])


ALTERED: dict[str, Callable[[Pixels], Pixels]] = {
    "JPEG 50": _jpeg,
    "half the size": _half,
    "5% brighter": _brighter,
    "1% cropped": _cropped,
}

if __name__ == "__main__":
    main()
