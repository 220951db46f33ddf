"""Addresses without their secrets, for every line, log and file that others may read."""

import re

CREDENTIALS = re.compile(r"(\w+://)[^\s/@\"']+@")
QUERY = re.compile(r"(\w+://[^\s?\"']*)\?[^\s\"']+")


def masked(text: str) -> str:
    """Return `text` with the user, password and query of each address in it as ``***``."""
    return QUERY.sub(r"\1?***", CREDENTIALS.sub(r"\1***@", text))
