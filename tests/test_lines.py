"""Passwords stay out of lines, files and Tune's state; what a terminal would obey, out of lines."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.cluster.storage import Storage
from pipeline.common.errors import InputError, first_line, last_line, on_one_line
from pipeline.common.lines import escape_unprintable, mask_credentials
from pipeline.common.tables import text_table
from pipeline.scans.bad_input import BadInput, report_bad_input
from pipeline.settings.params import load_settings
from pipeline.sweeps.trials import TrackTrials
from pipeline.tracking.runs import Origin
from pipeline.tracking.tracked_run import NoRun, StoredRun
from pipeline.tracking.tracker import Tracker
from stages.entry import run_stage
from tests.imports import ROOT

SECRET = "s3cr3t"  # noqa: S105
URI = f"postgresql://me:{SECRET}@db.example.org/mlflow"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"MLflow at {URI} failed", "MLflow at postgresql://***@db.example.org/mlflow failed"),
        (f"https://{SECRET}@host:5000", "https://***@host:5000"),
        (f"s3://b/x?access_key=a&secret_key={SECRET}: no", "s3://b/x?*** no"),
        (
            f'{{"storage": "s3://b/x?k={SECRET}", "seed": 0}}',
            '{"storage": "s3://b/x?***", "seed": 0}',
        ),
        ("s3://bucket/folder and me@host: why?", "s3://bucket/folder and me@host: why?"),
        ("sqlite:////a/b c/mlflow.db", "sqlite:////a/b c/mlflow.db"),
    ],
)
def test_what_is_secret_in_an_address_is_masked(text: str, expected: str) -> None:
    assert mask_credentials(text) == expected


def test_a_child_comes_before_the_options_of_an_address() -> None:
    options = f"?region=eu-north-1&secret_key={SECRET}"
    child = Storage(f"s3://bucket/folder/{options}").child("tune-1").child("a")
    assert child.path_or_uri == f"s3://bucket/folder/tune-1/a{options}"
    assert str(child) == "s3://bucket/folder/tune-1/a?***"
    assert Storage("/what?/for").child("a").path_or_uri == "/what?/for/a"


def test_a_wrong_address_of_storage_is_named_without_its_options() -> None:
    with pytest.raises(InputError) as raised:
        Storage(f"s3://bucket/folder?regoin={SECRET}").open()
    said = "params.yaml: storage: got s3://bucket/folder?***: Unexpected query parameter in S3 URI:"
    assert str(raised.value).startswith(said)
    assert SECRET not in str(raised.value)


def test_an_error_s_line_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise InputError(f"{URI}: no")

    with pytest.raises(SystemExit):
        run_stage(fail)
    assert capsys.readouterr().err == "error: postgresql://***@db.example.org/mlflow: no\n"


@pytest.mark.parametrize("shortened", [first_line, on_one_line, last_line])
def test_the_password_of_a_cut_address_is_masked(
    shortened: Callable[[BaseException], str],
) -> None:
    for most in (120, 200):
        begin = "x" * (most - URI.index("@") - 1) + " "
        assert SECRET not in shortened(OSError(f"{begin}{URI}"))


def test_a_store_s_failure_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError(f"cannot connect to {URI}")

    with Tracker(URI).tolerating_store_errors():
        fail()
    said = capsys.readouterr().err
    assert SECRET not in said
    assert said.count("postgresql://***@db.example.org/mlflow") == 2


def test_tune_keeps_no_address_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = pickle.dumps(TrackTrials(StoredRun(Tracker(URI), "run"), "objective"))
    assert SECRET.encode() not in kept
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    again = pickle.loads(kept)
    assert again.sweep_run == StoredRun(Tracker(URI), "run")
    assert (again.objective_name, again.runs) == ("objective", {})
    none = pickle.loads(pickle.dumps(TrackTrials(NoRun(), "objective")))
    assert none.sweep_run == NoRun()


def test_the_record_of_results_has_no_secret() -> None:
    settings = load_settings(ROOT / "params.yaml", ROOT / "presets.yaml")
    origin = Origin.now(replace(settings, storage=f"s3://b/x?secret_key={SECRET}"), "data")
    assert origin.parameters["storage"] == "s3://b/x?***"
    assert SECRET not in json.dumps(origin.parameters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[2Jb\r", r"a\x1b[2Jb\r"),
        ("right to left \u202e, no \u200b width", r"right to left \u202e, no \u200b width"),
        ("not a name: \udcff", r"not a name: \udcff"),
        ("Messer, 刀, naïve\nand a line", "Messer, 刀, naïve\nand a line"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, expected: str) -> None:
    assert escape_unprintable(text) == expected


def test_names_with_escape_sequences_reach_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report_bad_input([BadInput("a\x1b[2J.png", "no\x07")], "skip")
    assert capsys.readouterr().err.startswith(r"skipped: a\x1b[2J.png: no\x07")
    assert text_table(["class"], [["gun\x1b[31m"]]) == "class\ngun\\x1b[31m"

    def fail() -> None:
        raise InputError("\x1b]0;title")

    with pytest.raises(SystemExit):
        run_stage(fail)
    assert capsys.readouterr().err == "error: \\x1b]0;title\n"
