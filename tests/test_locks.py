import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.cluster.locks import exclusive_lock
from pipeline.cluster.storage import Storage
from pipeline.common.errors import InputError
from tests.imports import ROOT

HOLD = """
import sys, time
from pipeline.common.errors import InputError
from pipeline.cluster.locks import exclusive_lock
from pipeline.cluster.storage import Storage
with exclusive_lock(Storage(sys.argv[1]), "job"):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_the_second_waits_and_says_for_whom_until_the_first_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold(tmp_path) as other:
        threading.Timer(0.2, other.kill).start()
        with exclusive_lock(Storage(str(tmp_path)), "job"):
            assert other.wait() != 0
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path}/job.lock: process {other.pid} on ")
    assert said.endswith(" is at work on this: waiting\n")


def test_other_jobs_do_not_wait(tmp_path: Path) -> None:
    with exclusive_lock(Storage(str(tmp_path)), "a"), exclusive_lock(Storage(str(tmp_path)), "b"):
        assert (tmp_path / "b.lock").exists()


def test_an_address_is_not_locked() -> None:
    with (
        exclusive_lock(Storage("s3://bucket"), "job"),
        exclusive_lock(Storage("s3://bucket"), "job"),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cannot = pytest.raises(InputError, match=r"job.lock: .*: make the storage writable")
    with cannot, exclusive_lock(Storage(str(tmp_path / "file")), "job"):
        pass
