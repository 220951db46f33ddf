"""Text from outside, made fit for a terminal, a log or a file that others read."""

import re

CREDENTIALS = re.compile(r"(\w+://)[^\s/@\"']+@")
QUERY = re.compile(r"(\w+://[^\s?\"']*)\?[^\s\"']+")


def mask_credentials(text: str) -> str:
    """Return `text` with the user, password and query of each address in it as ``***``."""
    return QUERY.sub(r"\1?***", CREDENTIALS.sub(r"\1***@", text))


def printable(text: str) -> str:
    """Return `text` with all but printable characters and ends of lines as Python escapes them.

    A terminal obeys some of the others, and names of files and classes may hold any.
    """
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def one_line(text: str) -> str:
    """Return `printable` text with its ends of lines escaped too: no name can forge a line."""
    return printable(text).replace("\n", "\\n")
