"""Sanitises text from outside for terminals and logs: masks passwords, escapes characters."""

import re

CREDENTIALS = re.compile(r"(\w+://)[^\s/@\"']+@")
QUERY = re.compile(r"(\w+://[^\s?\"']*)\?[^\s\"']+")


def mask_credentials(text: str) -> str:
    """Return `text` with the user, password and query of each address in it as ``***``."""
    return QUERY.sub(r"\1?***", CREDENTIALS.sub(r"\1***@", text))


def escape_unprintable(text: str) -> str:
    r"""Return `text` with its unprintable characters as escapes, such as ``\x1b``; newlines stay.

    Terminals obey some control characters, and names of files and classes may hold any.
    """
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )


def escape_line(text: str) -> str:
    """Return `text` on one line, newlines escaped too: no file's name can forge a line of a log."""
    return escape_unprintable(text).replace("\n", "\\n")
