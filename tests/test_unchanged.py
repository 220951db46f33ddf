"""A stage whose parameters or code change while it runs leaves no results that DVC would take."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from stages.unchanged import inputs_of, require_unchanged
from tests.imports import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("dvc.yaml", "params.yaml", "presets.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("*.pyc"))
    for package in (ROOT / "pipeline").rglob("__init__.py"):  # of each, this file is enough
        copy = tmp_path / package.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        shutil.copy(package, copy)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replacing(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(project: Path) -> None:
        text = (project / file).read_text()
        assert old in text
        (project / file).write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("stage", "change", "named"),
    [
        ("scans", replacing("params.yaml", "seed: 0", "seed: 1"), "params.yaml: scans"),
        ("extract", replacing("params.yaml", "bad_input: fail", "bad_input: skip"),
         "params.yaml: scans"),
        ("train", replacing("params.yaml", "  lambda_con: null", "  lambda_con: 40"),
         "params.yaml: train"),
        ("train", replacing("presets.yaml", "epochs: 2}\n\npaper", "epochs: 5}\n\npaper"),
         "presets.yaml: demo.train"),
        ("train", lambda project: (project / "pipeline/training/new.py").touch(),
         "pipeline/training"),
        ("evaluate", replacing("stages/track.py", "def ", "def  "), "stages/track.py"),
    ],
)  # fmt: skip
def test_a_change_is_named(
    project: Path, stage: str, change: Callable[[Path], None], named: str
) -> None:
    before = inputs_of(stage)
    require_unchanged(stage, before)
    change(project)
    with pytest.raises(InputError) as error:
        require_unchanged(stage, before)
    assert str(error.value) == (
        f"{named}: changed while the stage {stage} ran, so its results belong to the old values: "
        "run `dvc repro` again"
    )


@pytest.mark.parametrize(
    "change",
    [
        replacing("params.yaml", "  lambda_con: null", "  lambda_con: 40"),
        replacing("stages/train.py", "def ", "def  "),
        replacing("params.yaml", "# ", "# another comment "),
        lambda project: shutil.rmtree(project / "pipeline" / "evaluation"),
    ],
)
def test_other_stages_may_be_changed(project: Path, change: Callable[[Path], None]) -> None:
    before = inputs_of("scans")
    change(project)
    require_unchanged("scans", before)


@pytest.mark.slow
def test_a_seed_that_changes_while_scans_are_generated_ends_the_stage(project: Path) -> None:
    shutil.copytree(ROOT / "pipeline", project / "pipeline", dirs_exist_ok=True)
    replacing("params.yaml", "preset: demo", "preset: tiny")(project)
    process = subprocess.Popen(
        [sys.executable, "-m", "stages", "scans"], cwd=project, stderr=subprocess.PIPE, text=True
    )
    while not (project / "data/scans/generated/00000.png").exists():
        assert process.poll() is None
        time.sleep(0.05)
    replacing("params.yaml", "seed: 0", "seed: 1")(project)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("error: params.yaml: scans: changed while the stage")
