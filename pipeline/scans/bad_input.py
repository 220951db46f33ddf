"""Bad files among good ones: each said in one line, all counted, then skipped or refused."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.common.errors import InputError
from pipeline.settings.scans import BadInputRule


@dataclass(frozen=True)
class BadInput:
    """A file that cannot be used, or several with the same fault.

    Attributes:
        file: its path, as the source gave it; of several, the folder that they are in.
        reason: what is wrong with it and what was expected, without the path.
        count: how many files it stands for.
    """

    file: str
    reason: str
    count: int = 1


def as_bad(file: object, error: InputError) -> BadInput:
    """What an `InputError` about a file says, without the path that it starts with."""
    return BadInput(str(file), str(error).removeprefix(f"{file}: "))


def settle(found: Sequence[BadInput], rule: BadInputRule) -> None:
    """Say every bad file on standard error, and how many there are.

    Raises:
        InputError: there are some, and the rule is ``fail``.
    """
    if not found:
        return
    for bad in found:
        print(f"{'skipped' if rule == 'skip' else 'bad input'}: {bad.file}: {bad.reason}",
              file=sys.stderr)  # fmt: skip
    count = sum(bad.count for bad in found)
    if rule == "fail":
        raise InputError(
            f"{count} bad files, named above: mend or remove them, or set scans.bad_input to skip"
        )
    print(f"skipped {count} bad files", file=sys.stderr)
