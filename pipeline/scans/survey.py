"""Reads every scan once before any is given a split: what is wrong with it, and its likeness.

Public sets are full of scans that are there twice, so identical scans count as bad input, and
near-duplicates that fall into different splits are reported.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from tqdm import tqdm

from pipeline.common.errors import InputError
from pipeline.common.files import write_table
from pipeline.common.names import Image
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.scan import ScanEntry, ScanSource

HASH_SIDE = 16  # 256 bits
NEAR_BITS = 40  # near-duplicates differ in no more of the 256: docs/formats.md
BLOCK = 4096  # hashes compared at a time
MOST_PAIRS = 100_000  # near-duplicates that are listed

Bits = NDArray[np.bool_]  # (HASH_SIDE**2,)


@dataclass(frozen=True)
class Looked:
    """What one scan looks like.

    Attributes:
        pixels: SHA-256 of its shape and pixels.
        likeness: its perceptual hash.
        channels: of its image.
        objects: how many of each class it holds, in the set's own words.
    """

    pixels: bytes
    likeness: Bits
    channels: int
    objects: Mapping[str, int]


@dataclass(frozen=True)
class Survey:
    """Every scan that can be used, and every one that cannot.

    Attributes:
        entries: those that can.
        likenesses: (N, HASH_SIDE**2), their perceptual hashes, in the order of `entries`.
        objects: how many objects of each class each of them holds, in the set's own words.
        bad: those that cannot, and why.
    """

    entries: list[ScanEntry]
    likenesses: NDArray[np.bool_]
    objects: list[Mapping[str, int]]
    bad: list[BadInput]


def survey(source: ScanSource, entries: Sequence[ScanEntry]) -> Survey:
    """Read every scan, in threads.

    Of identical scans the first is kept, or none if their objects differ. Of scans with different
    numbers of channels those are kept that have the number that most have.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(lambda entry: _look(source, entry), entries)
        every = list(tqdm(looks, "survey", len(entries), unit="scan"))
    counts = Counter(look.channels for look in every if isinstance(look, Looked))
    usual = max(counts, key=lambda channels: (counts[channels], channels), default=0)
    kept: list[tuple[ScanEntry, Looked]] = []
    bad: list[BadInput] = []
    twins = _twins(entries, every)
    for entry, look in zip(entries, every, strict=True):
        file = str(entry.files[0])
        if isinstance(look, BadInput):
            bad.append(look)
        elif look.channels != usual:
            reason = f"{look.channels} channels, but {counts[usual]} of {counts.total()} scans have"
            bad.append(BadInput(file, f"{reason} {usual}: a set has one number of channels"))
        elif len({(twin.classes, *sorted(objects)) for twin, objects in twins[look.pixels]}) > 1:
            others = [str(t.files[0]) for t, _ in twins[look.pixels] if t is not entry]
            reason = (
                f"the same image as {', '.join(others)}, with other objects: keep the right one"
            )
            bad.append(BadInput(file, reason))
        elif (first := twins[look.pixels][0][0]) is not entry:
            bad.append(BadInput(file, f"the same image as {first.files[0]}: remove one"))
        else:
            kept.append((entry, look))
    likenesses = np.array([look.likeness for _, look in kept], dtype=np.bool_)
    return Survey(
        [entry for entry, _ in kept],
        likenesses.reshape(len(kept), HASH_SIDE**2),
        [look.objects for _, look in kept],
        bad,
    )


def _twins(
    entries: Sequence[ScanEntry], looks: Sequence["Looked | BadInput"]
) -> dict[bytes, list[tuple[ScanEntry, Mapping[str, int]]]]:
    """The scans of each image, with their objects, by the image's digest."""
    found: dict[bytes, list[tuple[ScanEntry, Mapping[str, int]]]] = defaultdict(list)
    for entry, look in zip(entries, looks, strict=True):
        if isinstance(look, Looked):
            found[look.pixels].append((entry, look.objects))
    return found


def perceptual_hash(image: Image) -> Bits:
    """The signs of the low frequencies of an image's brightness (pHash)."""
    grey = image.mean(axis=2) if image.shape[2] == 2 else image
    if image.shape[2] == 3:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    side = HASH_SIDE * 4
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    picture = PillowImage.fromarray(small.astype(np.uint8))
    return np.asarray(imagehash.phash(picture, HASH_SIDE).hash, dtype=np.bool_).ravel()


def near_pairs(likenesses: NDArray[np.bool_], splits: Sequence[str]) -> NDArray[np.int32]:
    """Pairs in different splits whose hashes differ in `NEAR_BITS` bits or fewer, in order.

    All pairs are compared, as products of matrices: 10,000 scans take about a second.

    Returns:
        (N, 3): the rows of both scans, and the number of bits.
    """
    signs = likenesses.astype(np.float32) * 2 - 1
    names = np.array(splits)
    found = [np.empty((0, 3), dtype=np.int32)]
    for top in range(0, len(signs), BLOCK):
        for left in range(top, len(signs), BLOCK):
            products = signs[top : top + BLOCK] @ signs[left : left + BLOCK].T
            bits = (signs.shape[1] - products) / 2
            near = bits <= NEAR_BITS
            near &= names[top : top + BLOCK, None] != names[None, left : left + BLOCK]
            rows, columns = np.nonzero(near)
            pairs = np.stack([rows + top, columns + left, bits[rows, columns]], axis=1)
            found.append(pairs[pairs[:, 0] < pairs[:, 1]].astype(np.int32))
    every = np.concatenate(found)
    return every[np.lexsort((every[:, 1], every[:, 0]))]


def write_near_duplicates(path: Path, found: Survey, splits: Mapping[str, str]) -> int:
    """List near-duplicates in different splits, a pair a line; gives their number.

    Where there are more than `MOST_PAIRS`, as among pictures of an empty belt, the first are
    listed.
    """
    rows = [row for row, entry in enumerate(found.entries) if entry.scan_id in splits]
    ids = [found.entries[row].scan_id for row in rows]
    pairs = near_pairs(found.likenesses[rows], [splits[scan_id] for scan_id in ids])
    table = [
        {
            "scan": ids[i],
            "split": splits[ids[i]],
            "near": ids[j],
            "near_split": splits[ids[j]],
            "bits": bits,
        }
        for i, j, bits in pairs[:MOST_PAIRS].tolist()
    ]
    write_table(path, ("scan", "split", "near", "near_split", "bits"), table)
    return len(pairs)


def _look(source: ScanSource, entry: ScanEntry) -> Looked | BadInput:
    try:
        scan = source.read(entry)
    except InputError as error:
        return as_bad(entry.files[0], error)
    image = scan.image
    pixels = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
    return Looked(pixels, perceptual_hash(image), image.shape[2], Counter(scan.objects))
