"""Reports each bad file in one line and their number, then skips them or ends the stage."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.lines import escape_line
from pipeline.settings.scans import BadInputRule


@dataclass(frozen=True)
class BadInput:
    """A file that cannot be used, or several files with the same fault.

    Attributes:
        file: the file's path, as the source gave it; for several files, their folder.
        reason: the fault and what was expected, without the path.
        count: number of files.
    """

    file: str
    reason: str
    count: int = 1

    def __post_init__(self) -> None:
        """Put the reason on one line: it may quote a value of a foreign file."""
        object.__setattr__(self, "reason", " ".join(self.reason.splitlines()))


def as_bad(file: object, error: InputError) -> BadInput:
    """Make a `BadInput` of an `InputError` about a file, without the path before its message."""
    return BadInput(str(file), str(error).removeprefix(f"{file}: "))


def report_bad_input(bad_files: Sequence[BadInput], rule: BadInputRule) -> None:
    """Print every bad file, and the number of bad files, on standard error.

    Raises:
        InputError: there are bad files, and the rule is ``fail``.
    """
    if not bad_files:
        return
    for bad in bad_files:
        verdict = "skipped" if rule == "skip" else "bad input"
        print(escape_line(f"{verdict}: {bad.file}: {bad.reason}"), file=terminal.err())
    files, them = count_in_words(bad_files)
    if rule == "fail":
        raise InputError(
            f"{files}, named above: mend or remove {them}, or set scans.bad_input to skip"
        )
    print(f"skipped {files}", file=terminal.err())


def count_in_words(bad_files: Sequence[BadInput]) -> tuple[str, str]:
    """Return the number of bad files, such as "2 bad files", and the pronoun for them."""
    count = sum(bad.count for bad in bad_files)
    return (f"{count} bad file", "it") if count == 1 else (f"{count} bad files", "them")
