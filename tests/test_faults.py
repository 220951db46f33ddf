"""How `make faults` keeps its outcomes, resumes, counts and makes its table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import faults.__main__ as campaign
from faults.campaign import FAULTS, Fault
from faults.outcome import TRIES, Outcome, Outcomes
from faults.project import Project, strays

NOTHING = Fault("nothing", "all", 2, 60.0, lambda *_: None)


def outcome(number: int, *, hit: bool = True, wrong: tuple[str, ...] = ()) -> Outcome:
    return Outcome("nothing", number, hit, list(wrong), seconds=30.0, load=2.0)


def test_a_campaign_that_was_killed_goes_on_after_its_last_outcome(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.jsonl"
    Outcomes(file).add(outcome(0))
    with file.open("a") as half:
        half.write('{"fault": "noth')
    again = Outcomes(file)
    assert again.of(NOTHING) == [outcome(0)]
    assert again.left(NOTHING) == 1
    again.add(outcome(1))
    assert Outcomes(file).of(NOTHING) == [outcome(0), outcome(1)]
    assert Outcomes(file).left(NOTHING) == 0


def test_a_fault_that_hit_nothing_is_tried_again_but_not_for_ever(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path / "outcomes.jsonl")
    for number in range(TRIES * NOTHING.times):
        assert outcomes.left(NOTHING) == 2
        outcomes.add(outcome(number, hit=False))
    assert outcomes.left(NOTHING) == 0


def test_the_time_left_is_that_of_tries_that_hit(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path / "outcomes.jsonl")
    assert outcomes.seconds_left([NOTHING]) == 2 * 60
    outcomes.add(outcome(0))
    assert outcomes.seconds_left([NOTHING]) == 30


def test_the_table_counts_hits_and_losses(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path / "outcomes.jsonl")
    outcomes.add(outcome(0))
    outcomes.add(outcome(1, hit=False))
    assert "The campaign is not through; faults left: 1." in outcomes.table([NOTHING])
    outcomes.add(outcome(2, wrong=("left a process",)))
    lines = outcomes.table([NOTHING]).splitlines()
    assert lines[2] == "| nothing | all | 2 of 2 | 1 | 1 | 30 |"
    assert lines[4:] == [
        "2 faults hit work in progress, 1 losses, 2 minutes. The load average was 2.0 to 2.0.",
        "- nothing, number 2: left a process",
    ]


def test_each_try_is_written_before_the_next_and_an_error_is_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Project(tmp_path / "project", tmp_path / "temporary")
    monkeypatch.setattr(Project, "make", lambda _folder: made)
    monkeypatch.setattr(Project, "set_params", lambda _self: None)
    outcomes = Outcomes(tmp_path / "outcomes.jsonl")

    def attempt(project: Project, tried: Outcome, chance: np.random.Generator) -> None:
        assert project is made
        assert chance.random() not in drawn
        assert len(Outcomes(outcomes.file).found) == tried.number
        drawn.append(chance.random())
        tried.hit = True
        if tried.number == 1:
            raise RuntimeError("it ended badly")

    drawn: list[float] = []
    campaign.try_all(tmp_path, [Fault("one", "all", 2, 1.0, attempt)], outcomes, seed=0)
    assert [tried.wrong for tried in outcomes.found] == [[], ["it ended badly"]]
    assert len(set(drawn)) == 2


def test_a_closed_project_leaves_no_temporary_files(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", tmp_path / "temporary")
    project.stages_temporary.mkdir(parents=True)
    project.close()
    assert not project.temporary.exists()


def test_a_stray_is_found_whoever_its_parent_is(tmp_path: Path) -> None:
    """Its parent has ended; the folder is in its environment, or is its own."""
    for environment, folder in (({"TMPDIR": str(tmp_path)}, "/"), ({}, str(tmp_path))):
        child = "import time; print('up', flush=True); time.sleep(60)"
        parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
        with subprocess.Popen(
            [sys.executable, "-c", parent],
            env={**os.environ, **environment}, cwd=folder, stdout=subprocess.PIPE,
        ) as started:  # fmt: skip
            assert started.stdout
            assert started.stdout.readline() == b"up\n"
            started.wait()
            (stray,) = strays(tmp_path)
            stray.kill()


def test_names_of_faults_differ() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)


def test_kills_of_all_stages_are_a_hundred() -> None:
    kills = [fault for fault in FAULTS if fault.name.startswith("kill -9")]
    assert sum(fault.times for fault in kills) >= 100
    for stage in ("scans", "extract", "tune", "train", "evaluate"):
        assert any(f"kill -9 of {stage}" in fault.name for fault in kills)


@pytest.mark.skipif(not campaign.RECORD.exists(), reason="no campaign was recorded")
def test_the_readme_has_the_table_of_the_recorded_outcomes() -> None:
    text = campaign.README.read_text(encoding="utf-8")
    (commit,) = re.findall(r"^Tried on commit ([0-9a-f]{7,})\.$", text, flags=re.MULTILINE)
    assert campaign.with_table(text, Outcomes(campaign.RECORD), commit) == text
