"""Lines and progress for a person, apart from the output of libraries."""

import io
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyarrow.fs import LocalFileSystem
from ray.tune.experiment import Trial

from pipeline.cluster.storage import Storage
from pipeline.common import terminal
from pipeline.settings.blocks import TuneSettings
from pipeline.sweeps.trainable import OBJECTIVE
from pipeline.sweeps.trials import ShowTrials
from pipeline.training import on_ray
from pipeline.training.ray_checkpoints import epochs_done, last_epoch, write_progress
from tests.imports import ROOT
from tests.tiny import TRAIN

TUNE = TuneSettings(trials=9, epochs=4, concurrent=2)
STAGE = """
import os, sys, warnings
from collections.abc import Iterator
from pathlib import Path
from pipeline.common import terminal
from stages.entry import run_stage

def main():
    terminal.send_output_to(Path(sys.argv[1]) / "logs" / "stage.txt")
    print("of a library")
    os.system("echo of a child")
    warnings.warn("of torch")
    print("a result", file=terminal.out())
    print("a message", file=terminal.err())
    {then}

run_stage(main)
"""


def run_stage(then: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", STAGE.format(then=then), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_output_of_libraries_and_children_is_in_the_log_alone(tmp_path: Path) -> None:
    found = run_stage("", tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (0, "a result\n", "a message\n")
    log = (tmp_path / "logs" / "stage.txt").read_text()
    assert all(line in log for line in ("of a library\n", "of a child\n", "of torch\n"))
    assert "a result" not in log


def test_a_fault_of_ours_is_one_line_that_names_the_log(tmp_path: Path) -> None:
    found = run_stage("raise RuntimeError(chr(27) + '[31m')", tmp_path)
    assert found.returncode == 1
    log = tmp_path / "logs" / "stage.txt"
    message, error = found.stderr.splitlines()
    assert message == "a message"
    assert error.startswith(r"error: RuntimeError: \x1b[31m: a fault of SkipScan")
    assert str(log) in error
    assert "Traceback" in log.read_text()


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    found = run_stage("", tmp_path)
    assert "Traceback" not in found.stderr
    log = tmp_path / "logs" / "stage.txt"
    assert found.stderr == f"error: {log}: File exists: make it writable, for the log\n"


def test_progress_in_a_file_is_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    assert list(terminal.progress("scans", 3, "scan", "abc")) == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"scans: {n} of 3" for n in range(4)]
    assert all(line.endswith(" left") for line in lines)


def test_progress_in_a_file_has_a_line_every_15_seconds_and_counts_all_that_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow work after fast work: tqdm by itself waits for as many parts as the last line had."""
    clock = 0.0
    monkeypatch.setattr("tqdm.std.time", lambda: clock)

    def work() -> Iterator[int]:
        nonlocal clock
        for part in range(1060):
            yield part
            clock += 1 / 64 if part < 960 else 1.0

    list(terminal.progress("scans", 1060, "scan", work()))
    lines = [line.split(",")[:2] for line in capsys.readouterr().err.splitlines()]
    times = ("00:15", "00:30", "00:45", "01:00", "01:15", "01:30", "01:45")
    counts = range(961, 1060, 15)
    assert lines == [
        [f"scans: {count} of 1060", f" {time} gone"]
        for count, time in zip(counts, times, strict=True)
    ]


def test_short_work_is_quiet_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    list(terminal.progress("scans", 3, "scan", "abc"))
    assert capsys.readouterr().err == ""


def test_the_time_left_is_by_the_mean_of_all_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    for done in (0, 5):  # parts of an earlier run
        with terminal.progress("trials", done + 3, "trial", done=done) as shown:
            shown.start_t -= 60  # the first part took a minute, of which 0 s after the last line
            shown.update()
        last = capsys.readouterr().err.splitlines()[-1]
        assert f"trials: {done + 1} of {done + 3}, 01:00 gone, 02:00 left" in last


def test_progress_in_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    for _ in terminal.progress("scans", 3, "scan", "abc"):
        assert screen.getvalue().endswith("| 0/3 [00:00<?, ?scan/s]")
    assert screen.getvalue().endswith(" \r")  # it is gone when the work is done


def test_the_trials_that_ended_are_shown_with_the_best_objective(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    shown = ShowTrials(3, TUNE, Storage(str(tmp_path)))
    analysed: tuple[dict[str, dict[str, float]], ...] = (
        {OBJECTIVE: {"max": 0.7}},
        {OBJECTIVE: {"max": 0.9}},
        {},
    )
    states = (
        (Trial.RUNNING, Trial.RUNNING),
        (Trial.TERMINATED, Trial.RUNNING),
        (Trial.TERMINATED, Trial.ERROR),
    )
    for ended in states:
        trials = [
            SimpleNamespace(trial_id=name, status=status, metric_analysis=metrics)
            for name, status, metrics in zip("abc", (*ended, Trial.RUNNING), analysed, strict=True)
        ]
        shown.on_step_end(0, trials)  # type: ignore[arg-type]
    shown.on_experiment_end([])
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("tune: 0 of 3")
    assert last.startswith("tune: 2 of 3")
    assert last.endswith(", best 0.700")  # a failed trial is never the best


@pytest.mark.parametrize("workers", [1, 2])
def test_of_trials_that_run_their_share_of_the_epochs_is_shown(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    settings = replace(TUNE, epochs=4, workers=workers)
    shown = pickle.loads(pickle.dumps(ShowTrials(9, settings, Storage(str(tmp_path)))))
    for name, epochs in (("a", 3.0), ("b", 1.5), ("c", 0.24)):
        folder = tmp_path / name / ("train" if workers > 1 else "")
        folder.mkdir(parents=True)
        write_progress(LocalFileSystem(), str(folder), epochs)
    now = 100.0
    monkeypatch.setattr("pipeline.sweeps.trials.time.monotonic", lambda: now)
    states = [Trial.TERMINATED, Trial.RUNNING, Trial.RUNNING, Trial.PENDING]

    def step() -> str:
        trials = [
            SimpleNamespace(trial_id=name, status=status, metric_analysis={})
            for name, status in zip("abcd", states, strict=True)
        ]
        shown.on_step_end(0, trials)
        return capsys.readouterr().err.splitlines()[-1].split(",")[0]

    # The first trial has ended; the others have done 1.5 and 0.24 of their four epochs.
    assert step() == "tune: 1.44 of 9"
    write_progress(LocalFileSystem(), str(folder), 2.24)
    assert step() == "tune: 1.44 of 9"  # S3 is not asked in every step of Ray Tune
    now += 11
    assert step() == "tune: 1.94 of 9"
    states[1] = Trial.TERMINATED  # ASHA stopped the trial early: it counts as a whole trial
    assert step() == "tune: 2.56 of 9"
    states[2] = Trial.ERROR
    assert step() == "tune: 3 of 9"


def test_epochs_are_shown_by_their_checkpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    files = LocalFileSystem()
    assert last_epoch(files, str(tmp_path / "missing")) == 0
    with on_ray._showing_epochs(files, str(tmp_path), 4):
        for name in ("epoch-000002-17", "epoch-000003-18", "other-000009-1"):
            (tmp_path / name).mkdir()
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("train: 3 of 4")


def test_within_an_epoch_its_share_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    files = LocalFileSystem()
    with on_ray._showing_epochs(files, str(tmp_path), 4):
        (tmp_path / "epoch-000002-17").mkdir()
        write_progress(files, str(tmp_path), 2.3457)
    assert capsys.readouterr().err.splitlines()[-1].startswith("train: 2.35 of 4")
    (tmp_path / "progress.txt").write_text("")  # another process writes it right now
    assert epochs_done(files, str(tmp_path)) == 2
    write_progress(files, str(tmp_path), 1.9)  # before the checkpoint of epoch 2
    assert epochs_done(files, str(tmp_path)) == 2
    write_progress(files, str(tmp_path / "missing"), 1.9)  # nothing stops a training


def test_a_worker_s_progress_is_beside_its_checkpoints(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LocalFileSystem()
    storage = SimpleNamespace(storage_filesystem=files, experiment_fs_path=str(tmp_path))
    context = {
        "get_local_world_size": 2, "get_world_rank": 0, "get_world_size": 2, "get_storage": storage
    }  # fmt: skip
    told = SimpleNamespace(
        **{name: partial(lambda value: value, context[name]) for name in context}
    )
    monkeypatch.setattr("ray.train.get_context", lambda: told)
    monkeypatch.setattr("ray.train.torch.get_device", lambda: "cpu")
    monkeypatch.setattr(on_ray, "set_torch_threads", lambda _: None)
    monkeypatch.setattr(on_ray, "open_validation", lambda _: None)
    monkeypatch.setattr(on_ray, "train", lambda *given, **_: given[3].tell_progress(1.25))
    on_ray.train_worker({"job": on_ray.TrainJob(TRAIN, str(patches), "key")})
    assert epochs_done(files, str(tmp_path)) == 1.25
