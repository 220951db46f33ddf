import json
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
from pyarrow.fs import LocalFileSystem

from pipeline.common.errors import InputError
from pipeline.models.tensor_files import CHECKPOINT, save_checkpoint
from pipeline.training.ray_checkpoints import (
    RAYS_LIST,
    drop_unusable_list,
    last_epoch,
    newest_state,
    retry_writes,
)

LOCAL = LocalFileSystem()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for epoch in (1, 2, 3):
        place = tmp_path / f"epoch-{epoch:06d}-1"
        place.mkdir()
        save_checkpoint(place, {"epoch": epoch}, "key")
    return tmp_path


def epoch_of(folder: Path, last: str | None = None) -> int | None:
    state = newest_state(LOCAL, str(folder), "key", last)
    return state["epoch"] if state else None


def newest(folder: Path) -> Path:
    return folder / "epoch-000003-1" / CHECKPOINT


def cut_short(folder: Path) -> None:
    newest(folder).write_bytes(newest(folder).read_bytes()[:-1])


def of_another_key(folder: Path) -> None:
    save_checkpoint(newest(folder).parent, {"epoch": 3}, "other")


def test_the_newest_is_gone_on_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert epoch_of(folder) == 3
    assert epoch_of(folder, last="epoch-000002-1") == 2
    assert epoch_of(folder / "missing") is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_short, "incomplete or foreign file of tensors"),
        (of_another_key, "a checkpoint of other settings or data"),
    ],
)
def test_one_that_is_refused_gives_way_to_the_one_before(
    spoil: Callable[[Path], None],
    reason: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(folder)
    assert epoch_of(folder) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{newest(folder)}: {reason}")
    assert said.endswith(f"resuming from {folder}/epoch-000002-1/{CHECKPOINT}\n")


def test_a_kill_before_the_first_byte(folder: Path) -> None:
    newest(folder).unlink()
    assert epoch_of(folder) == 2


def test_with_none_whole_it_starts_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "epoch-000001-1").mkdir()
    (tmp_path / "epoch-000001-1" / CHECKPOINT).write_bytes(b"PK")
    (tmp_path / RAYS_LIST).touch()
    assert epoch_of(tmp_path) is None
    assert capsys.readouterr().err.endswith("there is no other checkpoint, so training restarts\n")


def test_the_last_epoch_is_that_of_a_folder(folder: Path) -> None:
    (folder / "epoch-000010-1").mkdir()  # not the last of the names as they are without zeros
    (folder / "epoch-000011-1").touch()
    (folder / "epoch-x").mkdir()
    assert last_epoch(LOCAL, str(folder)) == 10
    assert last_epoch(LOCAL, str(folder / "missing")) == 0


def rays_list(folder: Path, version: str) -> str:
    listed = [{"checkpoint_dir_name": path.name} for path in folder.glob("epoch-*")]
    return json.dumps({"ray_version": version, "checkpoint_results": listed})


def test_rays_list_is_left_where_ray_can_use_it(folder: Path) -> None:
    content = rays_list(folder, ray.__version__)
    (folder / RAYS_LIST).write_text(content)
    drop_unusable_list(LOCAL, str(folder))
    assert (folder / RAYS_LIST).read_text() == content


def test_rays_list_is_removed_where_ray_would_fail_over_it(folder: Path) -> None:
    usable = rays_list(folder, ray.__version__)
    missing = usable.replace("epoch-000003-1", "epoch-000009-1")
    for content in (usable[:-1], "", missing, rays_list(folder, "1.0"), "{}", "[]", "null"):
        (folder / RAYS_LIST).write_text(content)
        drop_unusable_list(LOCAL, str(folder))
        assert not (folder / RAYS_LIST).exists()
    drop_unusable_list(LOCAL, str(folder))


class Disk:
    """Full for the first few writes."""

    def __init__(self, full: int) -> None:
        self.full = full
        self.written = 0

    def write(self) -> None:
        if self.full:
            self.full -= 1
            raise OSError(28, "No space left on device")
        self.written += 1


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr("pipeline.training.ray_checkpoints.time.sleep", seconds.append)
    return seconds


def test_writing_is_tried_again(waited: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    disk = Disk(full=3)
    retry_writes(disk.write, "there")
    assert disk.written == 1
    assert waited == [1, 2, 4]
    assert "there: [Errno 28] No space left on device: trying again in 1 s" in (
        capsys.readouterr().err
    )


def test_a_disk_that_stays_full_is_said_in_one_line(waited: list[float]) -> None:
    with pytest.raises(InputError, match=r"^there: it could not be written for 63 s: .*No space"):
        retry_writes(Disk(full=99).write, "there")
    assert sum(waited) == 63
