"""`skipscan promote`: make the newest model the one that screens."""

from argparse import Namespace

from pipeline.common import terminal
from pipeline.tracking.registry import promote


def main(arguments: Namespace) -> None:
    """Compare the candidate with the champion, print the table, and promote it."""
    print(promote(anyway=arguments.anyway), file=terminal.out())
