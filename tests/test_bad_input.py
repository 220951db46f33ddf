import pytest

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput, report_bad_input

FOUND = [BadInput("a.png", "not an image"), BadInput("b.png", "empty")]


def test_skipping_says_each_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    report_bad_input(FOUND, "skip")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["skipped: a.png: not an image", "skipped: b.png: empty", "skipped 2 bad files"]


def test_several_files_with_one_fault_all_count(capsys: pytest.CaptureFixture[str]) -> None:
    report_bad_input([BadInput("folder", "3 images without annotation", 3), *FOUND], "skip")
    assert capsys.readouterr().err.splitlines()[-1] == "skipped 5 bad files"


def test_failing_says_each_and_raises(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="2 bad files, named above"):
        report_bad_input(FOUND, "fail")
    assert capsys.readouterr().err.splitlines()[0] == "bad input: a.png: not an image"


def test_nothing_bad_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report_bad_input([], "fail")
    assert capsys.readouterr().err == ""


def test_a_foreign_name_or_value_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = [BadInput("a\nskipped 0 bad files.png", "unknown category 1\r\nb.png: fine\u2028x")]
    assert found[0].reason == "unknown category 1 b.png: fine x"
    report_bad_input(found, "skip")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("skipped: a\\nskipped 0 bad files.png: unknown category 1 b.png")
    assert len(lines) == 2
