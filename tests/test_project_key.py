"""The project's key: made once, whole, and for nobody else."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pipeline.cluster.project_key import (
    KEY,
    KEY_BYTES,
    has_valid_signature,
    key_name,
    project_key,
    sign,
)
from pipeline.cluster.storage import Storage
from pipeline.common.errors import InputError


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project without a key."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_it_is_made_once_and_only_the_user_can_read_it(project: Path) -> None:
    umask = os.umask(0)
    try:
        key = project_key()
    finally:
        os.umask(umask)
    assert len(key) == KEY_BYTES
    assert project_key() == key == (project / KEY).read_bytes()
    assert stat.S_IMODE((project / KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((project / KEY).parent.stat().st_mode) == 0o700


def test_stages_that_start_together_have_one_key() -> None:
    at_once = Barrier(8)

    def start() -> bytes:
        at_once.wait()
        return project_key()

    with ThreadPoolExecutor(8) as pool:
        keys = {future.result() for future in [pool.submit(start) for _ in range(8)]}
    assert keys == {project_key()}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.chmod(0o644), "expected a file of yours or root's"),
        (lambda path: path.chmod(0o660), "expected a file of yours or root's"),
        (lambda path: path.write_bytes(b"short"), "got 5 bytes, expected 32: remove it"),
    ],
)
def test_one_that_others_may_know_is_refused(
    spoil: Callable[[Path], None], said: str, project: Path
) -> None:
    project_key()
    spoil(project / KEY)
    with pytest.raises(InputError, match=said):
        project_key()


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a file away")
def test_one_of_someone_else_is_refused(project: Path) -> None:
    project_key()
    os.chown(project / KEY, 65534, 65534)
    with pytest.raises(InputError, match="expected a file of yours or root's"):
        project_key()


def test_a_seal_is_of_its_content_and_of_its_key(project: Path) -> None:
    content = {"a": [1, 2.5], "b": "ü"}
    name, found = key_name(), sign(content)
    assert has_valid_signature({"b": "ü", "a": (1, 2.5)}, found)
    assert not has_valid_signature({**content, "a": [1, 2.6]}, found)
    assert not any(has_valid_signature(content, other) for other in ("", None, 1, "é", found[:-1]))
    assert key_name() not in project_key().hex()
    (project / KEY).write_bytes(bytes(KEY_BYTES))
    assert not has_valid_signature(content, found)
    assert key_name() != name


@pytest.mark.parametrize(
    ("mode", "owner", "said"),
    [
        (0o755, 0, False),
        (0o1777, 0, False),  # others may add files, but not replace them
        (0o775, 0, True),
        (0o757, 0, True),
        (0o700, 65534, True),
    ],
)
@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a folder away")
def test_a_storage_that_others_may_write_is_said(
    mode: int, owner: int, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ray"
    Storage(str(folder)).warn_if_others_write()
    folder.mkdir()
    folder.chmod(mode)
    os.chown(folder, owner, owner)
    Storage(str(folder)).warn_if_others_write()
    Storage(f"s3://bucket{folder}").warn_if_others_write()
    assert capsys.readouterr().err.count(f"{folder}: other users can write here and") == said
