import pytest

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput, report_bad_input

FOUND = [BadInput("a.png", "not an image"), BadInput("b.png", "empty")]


def test_skipping_says_each_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    report_bad_input(FOUND, "skip")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["skipped: a.png: not an image", "skipped: b.png: empty", "skipped 2 bad files"]


def test_failing_says_each_and_raises(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="2 bad files, named above"):
        report_bad_input(FOUND, "fail")
    assert capsys.readouterr().err.splitlines()[0] == "bad input: a.png: not an image"


def test_nothing_bad_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report_bad_input([], "fail")
    assert capsys.readouterr().err == ""
