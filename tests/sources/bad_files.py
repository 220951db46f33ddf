"""What a source says of bad files, as the `scans` stage does it."""

from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput, report_bad_input
from pipeline.scans.scan import ScanSource
from pipeline.scans.survey import survey_scans


def kept_and_bad(source: ScanSource) -> tuple[list[str], list[BadInput]]:
    """The ids that are left, and everything that was found bad."""
    listing = source.listing()
    found = survey_scans(source, listing.entries)
    return [entry.scan_id for entry in found.entries], [*listing.bad, *found.bad]


def assert_one_bad(
    source: ScanSource, capsys: pytest.CaptureFixture[str], file: Path | str, *reasons: str
) -> list[str]:
    """One file is bad and named with the reason, by either rule; gives the ids that are left."""
    kept, bad = kept_and_bad(source)
    capsys.readouterr()
    report_bad_input(bad, "skip")
    line, count = capsys.readouterr().err.splitlines()
    assert line.startswith(f"skipped: {file}: ")
    assert count == "skipped 1 bad file"
    with pytest.raises(InputError, match="1 bad file, named above"):
        report_bad_input(bad, "fail")
    assert capsys.readouterr().err.splitlines() == [line.replace("skipped", "bad input", 1)]
    for reason in reasons:
        assert reason in line
    return kept
