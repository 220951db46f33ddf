"""`skipscan promote`: give the newest model in MLflow the alias `champion`."""

from pipeline.common import terminal
from pipeline.tracking.registry import promote


def main(*, anyway: bool) -> None:
    """Compare the candidate with the champion, print the table, and promote it."""
    print(promote(anyway=anyway), file=terminal.out())
