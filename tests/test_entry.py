"""How a stage ends: wrong input, and signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.common.files import SCRATCH
from stages.entry import stage_log
from tests.imports import ROOT

STAGE = """
import sys, time
from pipeline.common.errors import InputError
from stages.entry import run_stage

def main():
    try:
        print("works", flush=True)
        {what}
    except KeyboardInterrupt:
        {then}

run_stage(main)
"""


def start(what: str, then: str = "raise") -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE.format(what=what, then=then)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "works\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_one_line(number: signal.Signals, status: int) -> None:
    process = start("time.sleep(60)")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert said == f"stopped by {number.name}: run it again to resume\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["time.sleep(60)", "import atexit; atexit.register(time.sleep, 60)"],
    ids=["whose exception is lost", "after the work"],
)  # fmt: skip
def test_a_signal_counts(what: str) -> None:
    process = start(what, "pass")
    time.sleep(0.5)  # until the work is done
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert said == "stopped by SIGTERM: run it again to resume\n"


@pytest.mark.slow
def test_errors_of_the_system_that_the_user_can_mend_are_one_line() -> None:
    process = start("raise OSError(28, 'No space left on device', '/data/scans/00001.png')")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    line = "/data/scans/00001.png: No space left on device: make room, and run it again"
    assert said == f"error: {line}\n"
    process = start("open('/dev/full', 'wb', 0).write(b'x')")
    _, said = process.communicate(timeout=30)
    line = "a file of this stage: No space left on device: make room, and run it again"
    assert said == f"error: {line}\n"
    process = start("raise OSError(5, 'Input/output error', '/data/scans/00001.png')")
    _, said = process.communicate(timeout=30)
    assert "Traceback" in said


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_while_it_imports(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stages", "tune"],
        cwd=tmp_path,  # without parameters: once it has imported all, it ends with 1
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any("torch" in region.path for region in psutil.Process(process.pid).memory_maps()):
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert said == f"stopped by {number.name}: run it again to resume\n"


def test_a_second_signal_ends_what_will_not_stop() -> None:
    process = start("time.sleep(60)", 'print("stops", flush=True); time.sleep(60)')
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stops\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def test_wrong_input_is_one_line() -> None:
    process = start("raise InputError('file: wrong')")
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "error: file: wrong\n")


def test_an_option_of_screen_without_a_folder_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stages", "screen", "--false-alarm-rate", "0.01"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert "options need FOLDER" in found.stderr


def test_the_log_of_a_stage_outlives_the_copy_of_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_EXP_NAME", "ashen-gull")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert stage_log("tune") == Path("logs/tune.txt")
    original = tmp_path / "original"
    monkeypatch.setenv("DVC_ROOT", str(original))
    assert stage_log("tune") == original / "logs" / "ashen-gull" / "tune.txt"


def test_a_stage_s_temporary_files_are_in_a_scratch_folder(tmp_path: Path) -> None:
    code = """
import tempfile
from pathlib import Path
from stages.__main__ import run_workflow_stage

run_workflow_stage("scans", lambda: Path("seen").write_text(tempfile.mkdtemp()))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    seen = Path((tmp_path / "seen").read_text())
    assert seen.parent.parent == tmp_path
    assert seen.parent.name.startswith(SCRATCH)
    assert not seen.parent.exists()
