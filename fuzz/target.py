"""A reader of foreign bytes, with what the fuzzer needs to try it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def as_they_are(content: bytes) -> bytes:
    """Return the bytes unchanged: for formats without checksums."""
    return content


@dataclass(frozen=True)
class Target:
    """One of the product's readers.

    Attributes:
        valid: makes the valid files that are damaged, best below 2 KB each.
        read: writes the bytes into the folder, which is empty, and calls the reader on them. It
            may return anything, or raise `InputError`.
        megabytes: most memory that the reader may take for one input.
        mend: puts the format's checksums right again, so that damage gets past them. Half of the
            inputs go through it.
    """

    valid: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], object]
    megabytes: int
    mend: Callable[[bytes], bytes] = as_they_are
