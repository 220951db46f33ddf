"""The exception for wrong input, as opposed to a fault of the program."""

from pipeline.common.lines import mask_credentials


class InputError(ValueError):
    """A file, parameter or value that cannot be used.

    The message is one line: the file or parameter, what was expected, and what to do. Stage entry
    points print the message without a traceback and exit with status 1.
    """


def require(holds: bool, name: str, got: object, expected: str) -> None:
    """Raise an `InputError` unless `holds`; it names the parameter, its value and `expected`."""
    if not holds:
        raise InputError(f"{name}: got {got!r}, expected {expected}")


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, of 200 characters at most, without credentials.

    Credentials are masked before the line is cut: half a URI would not match the pattern.
    """
    return mask_credentials((str(error).strip() or repr(error)).splitlines()[0])[:200]


def on_one_line(error: BaseException, most: int = 120) -> str:
    """Return a library's error on one line, of `most` characters at most, without credentials."""
    return mask_credentials(" ".join(str(error).split()))[:most]


def last_line(error: BaseException) -> str:
    """Return the last line of an error from another process: that line names the original error.

    Credentials are masked, as in the other functions.
    """
    return mask_credentials(str(error).strip().splitlines()[-1])
