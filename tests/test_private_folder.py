"""The folder of Ray's files: nobody else gets in, and nothing of dead runs stays."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import ray

from pipeline.cluster.private_folder import (
    DEFAULT,
    LONGEST_SOCKET,
    MAX_SOCKET_BYTES,
    private_folder,
    private_token,
    remove_left_folders,
    short_base,
    users_folder,
)
from pipeline.cluster.session import start
from pipeline.common.errors import InputError

MINE = f"skipscan-{os.getuid()}"
NOBODY = 65534


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for Ray's files with a short path, which every user may write."""
    with tempfile.TemporaryDirectory(prefix="", dir=DEFAULT) as folder:
        Path(folder).chmod(0o1777)
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


def test_it_is_new_and_goes_with_its_process_unless_there_was_an_error(base: Path) -> None:
    with private_folder() as first, private_folder() as second:
        assert first.parent == second.parent == base / MINE
        assert first != second
        (first / "log").touch()
    assert not first.exists()
    assert not second.exists()
    with pytest.raises(ValueError, match="no"), private_folder() as folder:
        raise ValueError("no")
    assert folder.exists()


def start_anew() -> None:
    with private_folder():
        pass


@pytest.mark.slow
@pytest.mark.parametrize("clean", [start_anew, remove_left_folders])
def test_those_of_dead_processes_go_at_the_next_start(
    base: Path, clean: Callable[[], None]
) -> None:
    clean()  # where there are none yet
    code = """
import os, sys
from pipeline.cluster.private_folder import private_folder
with private_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    other = Path(process.stdout.readline().strip())
    (other / "log").touch()
    clean()
    assert (other / "log").exists()  # of a process that lives
    process.kill()
    process.communicate()
    clean()
    assert not other.exists()
    assert base in other.parents


@pytest.mark.slow
def test_it_goes_although_a_process_still_writes_into_it(base: Path) -> None:
    def write_on(folder: Path) -> None:
        end, number = time.monotonic() + 0.5, 0
        while time.monotonic() < end:
            with suppress(OSError):  # once the folder has gone
                (folder / "session" / str(number)).touch()
            number += 1

    with private_folder() as folder:
        (folder / "session").mkdir()
        writer = threading.Thread(target=write_on, args=[folder])
        writer.start()
    writer.join()
    assert not folder.exists()
    assert base in folder.parents


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of its own at `folder`, in memory; only root may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


NO_ROOM = r"skipscan-\d+\S*: \d+ MB free, expected 50 MB or more for Ray's own files: make room"


def test_on_a_full_disk_ray_is_not_started(base: Path) -> None:
    with small_disk(base, "47m"), pytest.raises(InputError, match=NO_ROOM), private_folder():
        pass
    with small_disk(base, "51m"), private_folder():
        pass


def test_a_folder_that_others_can_enter_is_left_alone(base: Path) -> None:
    (base / MINE).mkdir()
    (base / MINE).chmod(0o755)
    (base / MINE / "other").mkdir()
    remove_left_folders()
    assert [path.name for path in (base / MINE).iterdir()] == ["other"]


def test_what_dead_processes_left_makes_room_first(base: Path) -> None:
    with small_disk(base, "60m"):
        with suppress(ValueError), private_folder() as folder:
            (folder / "log").write_bytes(bytes(30_000_000))
            raise ValueError("after an error it stays")
        with private_folder():
            assert not folder.exists()


def test_a_disk_that_fills_up_while_ray_starts_is_named(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: object) -> None:
        (folder / "filler").write_bytes(bytes(10_000_000))
        raise RuntimeError("Timed out waiting for file gcs_server_port")  # as Ray does then

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("HOME", str(base))
    with small_disk(base, "55m"), private_folder() as folder:
        with pytest.raises(InputError, match=NO_ROOM):
            start(folder)
        (folder / "filler").unlink()


def test_a_temporary_folder_that_is_empty_or_missing_is_not_used(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "")
    monkeypatch.setenv("TMPDIR", str(base))
    assert short_base() == base
    monkeypatch.setenv("TMPDIR", "")
    assert short_base() == Path(DEFAULT)
    monkeypatch.setenv("TMPDIR", "/missing")
    assert short_base() == Path(DEFAULT)


def test_a_token_that_is_cut_short_is_made_anew(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(base))
    mine = users_folder(base)
    (base / ".ray").mkdir()
    (base / ".ray" / "auth_token").touch()  # as a kill or a full disk left it
    assert len(private_token(mine).read_text()) == 64
    monkeypatch.setenv("HOME", str(base / "full"))
    (base / "full" / ".ray").mkdir(parents=True)
    (base / "full" / ".ray" / f".auth_token.{os.getpid()}.tmp").symlink_to("/dev/full")
    assert private_token(mine).parent == mine
    assert list((base / "full" / ".ray").iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_cannot_enter_it(base: Path) -> None:
    with private_folder() as folder:
        folder.chmod(0o777)  # as Ray does
        assert not can_list(folder)
        assert not can_list(folder.parent)
        assert can_list(base)


def can_list(folder: Path) -> bool:
    """Whether another user can list the files of a folder."""
    found = subprocess.run(["/bin/ls", folder], user=NOBODY, capture_output=True, check=False)
    assert (found.returncode == 0) != (b"Permission denied" in found.stderr)
    return found.returncode == 0


def test_the_token_is_the_user_s_alone_and_stays(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(base))
    path = private_token(users_folder(base))
    assert path == base / ".ray" / "auth_token"
    assert path.stat().st_mode & 0o777 == 0o600
    token = path.read_text()
    assert len(token) == 64
    path.chmod(0o644)  # as Ray writes it
    assert private_token(users_folder(base)).read_text() == token
    assert path.stat().st_mode & 0o777 == 0o600


def test_where_home_cannot_be_written_the_token_is_in_the_user_s_own_folder(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    path = private_token(users_folder(base))
    assert path.parent == base / MINE
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_can_enter_or_own_is_refused(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = base / MINE
    mine.mkdir()
    for mode in (0o755, 0o750, 0o701):
        mine.chmod(mode)
        with pytest.raises(InputError, match=r"skipscan-\d+: expected a folder of your own"):
            users_folder(base)
    mine.rmdir()
    (base / "theirs").mkdir(mode=0o700)
    mine.symlink_to(base / "theirs")
    with pytest.raises(InputError, match="mode 0700"):
        users_folder(base)
    mine.unlink()
    mine.mkdir(mode=0o700)
    assert users_folder(base) == mine
    uid = os.getuid() + 1
    mine.rename(base / f"skipscan-{uid}")
    monkeypatch.setattr(os, "getuid", lambda: uid)
    with pytest.raises(InputError, match="remove it, or set RAY_TMPDIR"):
        users_folder(base)


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_base_that_is_too_long_for_sockets_is_replaced(
    variable: str, base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    below = f"/{MINE}/abcdefgh/{LONGEST_SOCKET.format(pid=os.getpid())}"
    longest = MAX_SOCKET_BYTES - len(f"{base}/{below}")
    monkeypatch.delenv("RAY_TMPDIR")
    fits, too_long = ("é" * ((longest + more) // 2) for more in (0, 2))
    for name in (fits, too_long):
        (base / name).mkdir()
    monkeypatch.chdir(base)
    monkeypatch.setenv(variable, fits)
    assert short_base() == base / fits  # Ray refuses a relative folder
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(variable, too_long)
    assert short_base() == Path(DEFAULT)
    said = "TMPDIR or RAY_TMPDIR is too long for Ray's sockets: Ray's own files are in /tmp\n"
    assert capsys.readouterr().err == said
