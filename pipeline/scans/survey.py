"""Reads every scan once before the split, to find bad scans and near-duplicates.

Public sets contain many scans twice, so identical scans count as bad input, and near-duplicates
in different splits are reported.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import write_table
from pipeline.common.names import Image
from pipeline.scans.bad_input import BadInput, as_bad
from pipeline.scans.scan import ScanEntry, ScanSource

HASH_SIDE = 16  # 256 bits
NEAR_BITS = 40  # near-duplicates differ in 40 of 256 bits or fewer: docs/formats.md
BLOCK = 4096  # hashes compared at a time
MAX_PAIRS = 100_000  # most pairs of near-duplicates that are listed

Bits = NDArray[np.bool_]  # (HASH_SIDE**2,)


@dataclass(frozen=True)
class SurveyedScan:
    """The result of reading one scan.

    Attributes:
        entry: the scan's entry.
        pixel_digest: SHA-256 of the image's shape and pixels.
        perceptual_hash: of the image.
        channels: number of channels of the image.
        objects: number of objects of each class, by the set's own names.
        labels: class and SHA-256 of the mask of each region, sorted.
    """

    entry: ScanEntry
    pixel_digest: bytes
    perceptual_hash: Bits
    channels: int
    objects: Mapping[str, int]
    labels: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Survey:
    """All scans of a set: the usable and the bad.

    Attributes:
        scans: the usable scans.
        bad: the scans that cannot be used, with the reasons.
    """

    scans: list[SurveyedScan]
    bad: list[BadInput]

    @property
    def entries(self) -> list[ScanEntry]:
        """The entries of the usable scans."""
        return [scan.entry for scan in self.scans]


def survey_scans(source: ScanSource, entries: Sequence[ScanEntry]) -> Survey:
    """Read every scan, in threads.

    Of identical scans the first is kept, or none if their objects or masks differ. If numbers of
    channels differ, only scans with the most frequent number are kept.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = pool.map(lambda entry: _read(source, entry), entries)
        scans = list(terminal.progress("survey", len(entries), "scan", read))
    counts = Counter(scan.channels for scan in scans if isinstance(scan, SurveyedScan))
    twins: dict[bytes, list[SurveyedScan]] = defaultdict(list)
    for scan in scans:
        if isinstance(scan, SurveyedScan):
            twins[scan.pixel_digest].append(scan)
    usable: list[SurveyedScan] = []
    bad: list[BadInput] = []
    for scan in scans:
        if isinstance(scan, BadInput):
            bad.append(scan)
        elif fault := _fault(scan, counts, twins[scan.pixel_digest]):
            bad.append(BadInput(str(scan.entry.files[0]), fault))
        else:
            usable.append(scan)
    return Survey(usable, bad)


def _fault(scan: SurveyedScan, counts: Counter[int], twins: Sequence[SurveyedScan]) -> str:
    """Return why a scan cannot be kept beside the others; "" if it can.

    Args:
        scan: the scan.
        counts: number of scans with each number of channels.
        twins: the scans with the same pixels, this one among them.
    """
    usual = max(counts, key=lambda channels: (counts[channels], channels))
    if scan.channels != usual:
        return (
            f"{scan.channels} channels, but {counts[usual]} of {counts.total()} scans have "
            f"{usual}: a set has one number of channels"
        )
    known = scan.entry.classes, scan.objects, scan.labels
    if any((twin.entry.classes, twin.objects, twin.labels) != known for twin in twins):
        others = [str(twin.entry.files[0]) for twin in twins if twin is not scan]
        return f"the same image as {', '.join(others)}, with other objects: keep the right one"
    first = twins[0]
    return "" if first is scan else f"the same image as {first.entry.files[0]}: remove one"


def perceptual_hash(image: Image) -> Bits:
    """Return the signs of the low frequencies of an image's brightness (pHash)."""
    grey = image.mean(axis=2, dtype=np.float32) if image.shape[2] == 2 else image
    if image.shape[2] == 3:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    side = HASH_SIDE * 4
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    picture = PillowImage.fromarray(small.astype(np.uint8))
    return np.asarray(imagehash.phash(picture, HASH_SIDE).hash, dtype=np.bool_).ravel()


def near_pairs(perceptual_hashes: NDArray[np.bool_], splits: Sequence[str]) -> NDArray[np.int32]:
    """Return sorted pairs in different splits with hashes that differ in up to `NEAR_BITS` bits.

    Matrix products compare all pairs, so the time grows with the square of the number of scans.

    Returns:
        (N, 3): the rows of both scans, and the number of bits that differ.
    """
    all_bits = perceptual_hashes.shape[1]
    names = np.array(splits)
    rows_of = [np.flatnonzero(names == name) for name in np.unique(names)]
    blocks = [
        (ours[top : top + BLOCK], theirs[left : left + BLOCK])
        for ours, theirs in combinations(rows_of, 2)
        for top in range(0, len(ours), BLOCK)
        for left in range(0, len(theirs), BLOCK)
    ]
    found = [np.empty((0, 3), dtype=np.int32)]
    for ours, theirs in terminal.progress("near-duplicates", len(blocks), "block", blocks):
        first, second = (perceptual_hashes[rows] * np.float32(2) - 1 for rows in (ours, theirs))
        products = first @ second.T  # as many bits that agree as differ give 0
        if products.max() < all_bits - 2 * NEAR_BITS:  # most blocks
            continue
        i, j = np.nonzero(products >= all_bits - 2 * NEAR_BITS)
        pairs = np.sort(np.stack([ours[i], theirs[j]], axis=1), axis=1)
        bits = (all_bits - products[i, j]) / 2
        found.append(np.column_stack([pairs, bits]).astype(np.int32))
    near = np.concatenate(found)
    return near[np.lexsort((near[:, 1], near[:, 0]))]


def write_near_duplicates(path: Path, survey: Survey, splits: Mapping[str, str]) -> int:
    """Write near-duplicates in different splits, one pair a line; returns the number of pairs.

    If there are more than `MAX_PAIRS`, for instance among images of an empty belt, only the
    first pairs are written.
    """
    scans = [scan for scan in survey.scans if scan.entry.scan_id in splits]
    ids = [scan.entry.scan_id for scan in scans]
    perceptual_hashes = np.array([scan.perceptual_hash for scan in scans])
    pairs = near_pairs(perceptual_hashes, [splits[scan_id] for scan_id in ids])
    table = [
        {
            "scan": ids[i],
            "split": splits[ids[i]],
            "near": ids[j],
            "near_split": splits[ids[j]],
            "bits": bits,
        }
        for i, j, bits in pairs[:MAX_PAIRS].tolist()
    ]
    write_table(path, ("scan", "split", "near", "near_split", "bits"), table)
    return len(pairs)


def _read(source: ScanSource, entry: ScanEntry) -> SurveyedScan | BadInput:
    try:
        scan = source.read(entry)
    except InputError as error:
        return as_bad(entry.files[0], error)
    image = scan.image
    pixels = hashlib.sha256(repr(image.shape).encode())
    pixels.update(np.ascontiguousarray(image).data)
    labels = (
        (region.class_name, hashlib.sha256(np.packbits(region.mask).data).digest())
        for region in scan.regions
    )
    return SurveyedScan(
        entry,
        pixels.digest(),
        perceptual_hash(image),
        image.shape[2],
        Counter(scan.objects),
        tuple(sorted(labels)),
    )
