"""Runs the `main` of a study as a command."""

import sys
from collections.abc import Callable
from typing import NoReturn

from pipeline.common.errors import InputError


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Call `main`, and exit with the status that it returns; None is 0.

    An `InputError` is printed as one line, without a traceback, and the status is 1.
    """
    try:
        sys.exit(main())
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
