"""`skipscan promote`: make the newest model the one that screens."""

from pipeline.common import terminal
from pipeline.tracking.registry import promote


def main(*, anyway: bool) -> None:
    """Compare the candidate with the champion, print the table, and promote it."""
    print(promote(anyway=anyway), file=terminal.out())
