"""Damages valid files, as hypothesis draws it."""

import re
from collections.abc import Callable

from hypothesis import strategies as st

from fuzz.target import Target

MAX_CHANGES = 5
MAX_BYTES = 2**20
NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?")
# What a number in a text is replaced by.
EXTREME_TEXTS = (
    b"0", b"-1", b"1.5", b"1e308", b"1e999", b"-1e308", b"NaN", b"Infinity", b".nan", b".inf",
    b"2147483648", b"9223372036854775808", b"1" + b"0" * 400, b"9" * 5000, b"null", b"true",
    b'""', b"[]", b"{}", b"[" * 5000, b'{"a":' * 5000, b"\xff\xfe", b"\0",
)  # fmt: skip
# What 1, 2, 4 or 8 bytes are replaced by, in either byte order.
EXTREME_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**24, 2**31 - 1, 2**31)

Draw = Callable[[st.SearchStrategy[int]], int]


@st.composite
def damaged(draw: Draw, target: Target, valid: list[bytes]) -> bytes:
    """Draw one of the valid files, with 1 to `MAX_CHANGES` changes."""
    content = valid[draw(st.integers(0, len(valid) - 1))]
    for _ in range(draw(st.integers(1, MAX_CHANGES))):
        content = CHANGES[draw(st.integers(0, len(CHANGES) - 1))](draw, content)[:MAX_BYTES]
    return target.mend(content) if draw(st.integers(0, 1)) else content


def _place(draw: Draw, content: bytes) -> int:
    return draw(st.integers(0, len(content)))


def _piece(draw: Draw, content: bytes) -> tuple[int, int]:
    start = _place(draw, content)
    return start, min(len(content), start + draw(st.integers(1, 64)))


def _flip_bit(draw: Draw, content: bytes) -> bytes:
    place, bit = _place(draw, content), draw(st.integers(0, 7))
    flipped = bytes(byte ^ 1 << bit for byte in content[place : place + 1])
    return content[:place] + flipped + content[place + 1 :]


def _cut_end(draw: Draw, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def _cut_piece(draw: Draw, content: bytes) -> bytes:
    start, end = _piece(draw, content)
    return content[:start] + content[end:]


def _repeat_piece(draw: Draw, content: bytes) -> bytes:
    start, end = _piece(draw, content)
    times = 2 ** draw(st.integers(1, 12))
    return content[:end] + content[start:end] * times + content[end:]


def _swap_pieces(draw: Draw, content: bytes) -> bytes:
    (first, first_end), (second, end) = sorted((_piece(draw, content), _piece(draw, content)))
    second = max(first_end, second)
    end = max(second, end)
    return b"".join(
        (content[:first], content[second:end], content[first_end:second],
         content[first:first_end], content[end:])
    )  # fmt: skip


def _extreme_integer(draw: Draw, content: bytes) -> bytes:
    place, width = _place(draw, content), 2 ** draw(st.integers(0, 3))
    value = EXTREME_INTEGERS[draw(st.integers(0, len(EXTREME_INTEGERS) - 1))] % 256**width
    written = value.to_bytes(width, "big" if draw(st.integers(0, 1)) else "little")
    return content[:place] + written + content[place + width :]


def _extreme_number(draw: Draw, content: bytes) -> bytes:
    found = list(NUMBER.finditer(content))
    if not found:
        return content
    start, end = found[draw(st.integers(0, len(found) - 1))].span()
    value = EXTREME_TEXTS[draw(st.integers(0, len(EXTREME_TEXTS) - 1))]
    return content[:start] + value + content[end:]


CHANGES: tuple[Callable[[Draw, bytes], bytes], ...] = (
    _flip_bit,
    _cut_end,
    _cut_piece,
    _repeat_piece,
    _swap_pieces,
    _extreme_integer,
    _extreme_number,
)
