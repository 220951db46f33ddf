"""The one exception that means: the input is wrong, not the program."""


class InputError(ValueError):
    """A file, parameter or value that cannot be used.

    The message is one line that names it, says what was expected and what to do. Stage entry
    points print it without a traceback and exit with status 1.
    """


def require(holds: bool, name: str, got: object, expected: str) -> None:
    """Raise an `InputError` that names the parameter, what it was and what was expected."""
    if not holds:
        raise InputError(f"{name}: got {got!r}, expected {expected}")


def last_line(error: BaseException) -> str:
    """The last line of an error that another process raised: it names what was raised there."""
    return str(error).strip().splitlines()[-1]
