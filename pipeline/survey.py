"""Reads every scan once before any is given a split: what is wrong with it, and its likeness.

Public sets are full of scans that are there twice, so identical scans count as bad input, and
near-duplicates that fall into different splits are reported.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from tqdm import tqdm

from pipeline.bad_input import BadInput, as_bad
from pipeline.errors import InputError
from pipeline.files import write_table
from pipeline.sources.base import Image, ScanEntry, ScanSource

HASH_SIDE = 16  # 256 bits
NEAR_BITS = 40  # near-duplicates differ in no more of the 256: docs/formats.md
BLOCK = 4096  # hashes compared at a time

Bits = NDArray[np.bool_]  # (HASH_SIDE**2,)


@dataclass(frozen=True)
class Looked:
    """What one scan looks like.

    Attributes:
        pixels: SHA-256 of its shape and pixels.
        likeness: its perceptual hash.
    """

    pixels: bytes
    likeness: Bits


@dataclass(frozen=True)
class Survey:
    """Every scan that can be used, with its perceptual hash, and every one that cannot."""

    entries: list[ScanEntry]
    likenesses: NDArray[np.bool_]  # (N, HASH_SIDE**2), in the order of `entries`
    bad: list[BadInput]


def survey(source: ScanSource, entries: Sequence[ScanEntry]) -> Survey:
    """Read every scan, in threads; of identical scans the first is kept."""
    kept: list[ScanEntry] = []
    likenesses: list[Bits] = []
    bad: list[BadInput] = []
    first: dict[bytes, ScanEntry] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(lambda entry: _look(source, entry), entries)
        for entry, look in zip(
            entries, tqdm(looks, "survey", len(entries), unit="scan"), strict=True
        ):
            if isinstance(look, BadInput):
                bad.append(look)
            elif look.pixels in first:
                same = first[look.pixels].files[0]
                bad.append(BadInput(str(entry.files[0]), f"the same image as {same}: remove one"))
            else:
                first[look.pixels] = entry
                kept.append(entry)
                likenesses.append(look.likeness)
    shape = (len(kept), HASH_SIDE**2)
    return Survey(kept, np.array(likenesses, dtype=np.bool_).reshape(shape), bad)


def perceptual_hash(image: Image) -> Bits:
    """The signs of the low frequencies of an image's brightness (pHash)."""
    grey = image.mean(axis=2) if image.shape[2] == 2 else image
    if image.shape[2] == 3:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    side = HASH_SIDE * 4
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    picture = PillowImage.fromarray(small.astype(np.uint8))
    return np.asarray(imagehash.phash(picture, HASH_SIDE).hash, dtype=np.bool_).ravel()


def near_pairs(likenesses: NDArray[np.bool_], splits: Sequence[str]) -> list[tuple[int, int, int]]:
    """Pairs (i, j, bits) in different splits whose hashes differ in `NEAR_BITS` bits or fewer.

    All pairs are compared, as products of matrices: 10,000 scans take about a second.
    """
    signs = likenesses.astype(np.float32) * 2 - 1
    names = np.array(splits)
    pairs = []
    for top in range(0, len(signs), BLOCK):
        for left in range(top, len(signs), BLOCK):
            products = signs[top : top + BLOCK] @ signs[left : left + BLOCK].T
            bits = (signs.shape[1] - products) / 2
            near = bits <= NEAR_BITS
            near &= names[top : top + BLOCK, None] != names[None, left : left + BLOCK]
            pairs += [
                (top + i, left + j, int(bits[i, j]))
                for i, j in np.argwhere(near).tolist()
                if top + i < left + j
            ]
    return sorted(pairs)


def write_near_duplicates(path: Path, found: Survey, splits: dict[str, str]) -> int:
    """List the near-duplicates that are in different splits, a pair a line; gives their number."""
    ids = [entry.scan_id for entry in found.entries]
    pairs = near_pairs(found.likenesses, [splits[scan_id] for scan_id in ids])
    rows = [
        {
            "scan": ids[i],
            "split": splits[ids[i]],
            "near": ids[j],
            "near_split": splits[ids[j]],
            "bits": bits,
        }
        for i, j, bits in pairs
    ]
    write_table(path, ("scan", "split", "near", "near_split", "bits"), rows)
    return len(rows)


def _look(source: ScanSource, entry: ScanEntry) -> Looked | BadInput:
    try:
        image = source.read(entry).image
    except InputError as error:
        return as_bad(entry.files[0], error)
    pixels = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
    return Looked(pixels, perceptual_hash(image))
