"""The `scans` stage over a set with two bad files, and as a process where it fails."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.common.errors import InputError
from pipeline.scans.catalogue import read_catalogue
from stages.scans import main
from tests.imports import ROOT
from tests.tiny import write_image


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with nine scans in YOLO's layout; one is cut short, one has a wrong label."""
    generator = np.random.default_rng(0)
    for number in range(9):
        image = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        write_image(tmp_path / "set" / "images" / f"bag{number // 2}_{number}.png", image)
    cut = tmp_path / "set" / "images" / "bag4_8.png"
    cut.write_bytes(cut.read_bytes()[:900])
    (tmp_path / "set" / "labels").mkdir()
    (tmp_path / "set" / "labels" / "bag3_6.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "set" / "labels" / "bag2_4.txt").write_text("0 0.5 0.5 0.2\n")
    (tmp_path / "set" / "classes.txt").write_text("gun\n")
    return tmp_path


def set_scans(project: Path, **scans: object) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["scans"] |= {"source": "yolo", "folder": "set", "classes": {"gun": "gun"}, **scans}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    (project / "presets.yaml").write_text((ROOT / "presets.yaml").read_text())


def test_bad_files_are_named_and_skipped(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = project / "data" / "scans" / ".catalogue.jsonl.99999999.tmp"  # by a killed process
    left.parent.mkdir(parents=True)
    left.touch()
    set_scans(project, bad_input="skip", group=r"bag\d+", validation=0.5)
    monkeypatch.chdir(project)
    main()
    said = capsys.readouterr()
    assert not left.exists()
    lines = [line for line in said.err.splitlines() if line.startswith("skipped")]
    assert lines[0].startswith("skipped: set/labels/bag2_4.txt: line 1: 3 values after the class")
    assert lines[1].startswith("skipped: set/images/bag4_8.png: ")
    assert lines[2:] == ["skipped 2 bad files"]
    rows = read_catalogue(project / "data" / "scans")
    assert len(rows) == 7
    splits = {row.scan_id.split("_")[0]: row.split for row in rows}
    assert all(splits[row.scan_id.split("_")[0]] == row.split for row in rows)
    assert splits["images/bag3"] == "test"
    assert "0 pairs of near-duplicates across splits: data/scans/near_dup" in said.out


@pytest.mark.slow
def test_generated_scans_are_one_line_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_scans(tmp_path, source="generated", folder="data/README.md", classes={}, count=5)
    monkeypatch.chdir(tmp_path)
    main()
    said = "5 generated scans; by class and split: data/scans/account.txt\n"
    assert capsys.readouterr().out == said
    account = (tmp_path / "data/scans/account.txt").read_text()
    assert "5 used as images" in account
    assert "0 pairs of near-duplicates" in account


@pytest.mark.slow
def test_bad_files_are_named_and_the_stage_fails(project: Path) -> None:
    set_scans(project)
    done = subprocess.run(
        [sys.executable, "-m", "stages", "scans"],
        cwd=project,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last == (
        "error: 2 bad files, named above: mend or remove them, or set scans.bad_input to skip"
    )
    assert done.stderr.count("bad input: set/") == 2
    assert "Traceback" not in done.stderr
    assert not (project / "data").exists()


def test_generated_scans_are_of_the_seed_and_count_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("presets.yaml").write_text((ROOT / "presets.yaml").read_text())
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["scans"] |= {"seed": 7, "count": 30}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    told: list[Any] = []

    def generate(*given: Any) -> None:
        told.extend(given)
        raise InputError("enough")

    monkeypatch.setattr("stages.scans.generate", generate)
    with pytest.raises(InputError, match="enough"):
        main()
    assert told[1:] == [7, 30]
