import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

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


@pytest.mark.slow
def test_the_second_waits_and_says_for_whom_until_the_first_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold(tmp_path) as other:
        threading.Timer(0.2, other.kill).start()
        with exclusive_lock(Storage(str(tmp_path)), "job"):
            assert other.wait() != 0
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path}/job.lock: process {other.pid} on ")
    assert said.endswith(" holds this lock: waiting for it\n")


def test_other_jobs_do_not_wait(tmp_path: Path) -> None:
    with exclusive_lock(Storage(str(tmp_path)), "a"), exclusive_lock(Storage(str(tmp_path)), "b"):
        assert (tmp_path / "b.lock").exists()


def test_an_address_is_locked_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with exclusive_lock(Storage("s3://bucket"), "job"), pytest.raises(Timeout):
        FileLock(tmp_path / "work" / "locks" / "job.lock").acquire(timeout=0)


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_lock_on_a_file_system_without_flock_stays_its_holder_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.ENOSYS, "no flock")

    monkeypatch.setattr("fcntl.flock", flock)
    # A lock file that names no process is then anyone's at once, not after 2 seconds.
    monkeypatch.setattr("filelock._soft.MALFORMED_LOCK_AGE_THRESHOLD", 0)
    with exclusive_lock(Storage(str(tmp_path)), "job"), pytest.raises(Timeout):
        FileLock(tmp_path / "job.lock").acquire(timeout=0.1)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cannot = pytest.raises(InputError, match=r"job.lock: .*: make the storage writable")
    with cannot, exclusive_lock(Storage(str(tmp_path / "file")), "job"):
        pass
