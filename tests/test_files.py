"""Files that appear whole, also when the power fails."""

import errno
import os
from pathlib import Path

import pytest

from pipeline.common.files import write_whole


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, bytes | None]] = []
    path, sync = tmp_path / "folder" / "file", os.fsync

    def recorded(file: int) -> None:
        synced = Path(f"/proc/self/fd/{file}").resolve()
        done.append((synced.name, path.read_bytes() if path.exists() else None))
        if synced.is_file():
            assert synced.read_bytes() == b"new"
        sync(file)

    write_whole(path, b"old")
    monkeypatch.setattr(os, "fsync", recorded)
    write_whole(path, b"new")
    assert done == [(f".file.{os.getpid()}.tmp", b"old"), ("folder", b"new")]
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_on_a_full_disk_the_file_is_named_and_nothing_of_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / f".file.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as error:
        write_whole(path, b"new")
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(path))
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"
