"""Grouping scans into shards, by the scans' ids alone, before any scan is read."""

from collections.abc import Sequence
from hashlib import sha256

from pipeline.scans.catalogue import CatalogueRow

BITS = 256


def shard_groups(rows: Sequence[CatalogueRow], most: int) -> list[list[CatalogueRow]]:
    """Return whole scans in groups of at most `most`, each in the order of the scans' ids.

    A group holds the scans whose ids' hashes begin with the same bits: as many bits as are needed
    to have at most `most` scans. So the groups do not depend on the order of the rows, and adding
    or removing a scan changes only the scan's own group (which may divide, or merge with its
    neighbour). A group is about two thirds full on average.
    """
    hashed = [(int.from_bytes(sha256(row.scan_id.encode()).digest()), row) for row in rows]
    ordered = sorted(hashed, key=lambda pair: pair[1].scan_id)
    return [[row for _, row in group] for group in _divide(ordered, most, BITS - 1)]


Hashed = list[tuple[int, CatalogueRow]]


def _divide(rows: Hashed, most: int, bit: int) -> list[Hashed]:
    if len(rows) <= most or bit < 0:
        return [rows] if rows else []
    halves = ([pair for pair in rows if pair[0] >> bit & 1 == side] for side in (0, 1))
    return [group for half in halves for group in _divide(half, most, bit - 1)]
