"""Files that appear whole, also when the power fails."""

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
