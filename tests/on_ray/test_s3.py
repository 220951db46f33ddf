"""Training and a sweep whose storage is an address, on a real server of the S3 protocol."""

import json
from pathlib import Path

from pyarrow.fs import FileSelector, FileSystem

from pipeline.checkpoints import load_tensors
from tests.on_ray.conftest import ON_RAY, RunHere
from tests.on_ray.jobs import ELASTIC, TUNE
from tests.on_ray.processes import kept_state, kill_when, start

pytestmark = ON_RAY

STORAGE = "s3://bucket/skipscan"


def names(s3: FileSystem) -> list[str]:
    return [file.path for file in s3.get_file_info(FileSelector("bucket", recursive=True))]


def test_a_training_killed_and_started_again_on_as_many_workers_as_there_is_room_for(
    s3: FileSystem, run_here: RunHere, patches: Path, tmp_path: Path
) -> None:
    process = start("elastic", patches, tmp_path, STORAGE)
    kill_when(process, lambda: any("checkpoint_manager_snapshot" in name for name in names(s3)))
    assert not (tmp_path / "state.pt").exists()
    kept = kept_state(STORAGE, ELASTIC)
    run_here("elastic", patches, tmp_path, STORAGE)
    history = load_tensors(tmp_path / "state.pt")["history"]
    assert [(m["epoch"], m["workers"]) for m in history] == [(n, 2) for n in (1, 2, 3, 4)]
    assert history[: kept["epoch"]] == kept["history"]  # not run again
    assert not any(name.endswith(".tmp") for name in names(s3))


def test_a_sweep_started_again_has_nothing_left_to_do(
    run_here: RunHere, patches: Path, tmp_path: Path
) -> None:
    for run in ("first", "second"):
        run_here("sweep", patches, tmp_path / run, STORAGE)
    first, second = (
        json.loads((tmp_path / run / "trials.json").read_text()) for run in ("first", "second")
    )
    assert len(first["trials"]) == TUNE.trials
    assert second["trials"] == first["trials"]
