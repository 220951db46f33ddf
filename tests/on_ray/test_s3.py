"""Training and a sweep whose storage is an address, on a real server of the S3 protocol."""

import json
from pathlib import Path

from pyarrow.fs import FileSelector, FileSystem

from pipeline.models.tensor_files import load_tensors
from tests.on_ray.conftest import ON_RAY, RunHere
from tests.on_ray.jobs import TUNE
from tests.test_training import same

pytestmark = ON_RAY

STORAGE = "s3://bucket/skipscan"


def test_a_training_on_as_many_workers_as_there_is_room_for_goes_on_from_what_is_there(
    s3: FileSystem, run_here: RunHere, patches: Path, tmp_path: Path
) -> None:
    run_here("elastic", patches, tmp_path / "first", STORAGE)
    first = load_tensors(tmp_path / "first" / "state.pt")
    history = first["history"]
    assert [(m["epoch"], m["workers"]) for m in history] == [(n, 2) for n in (1, 2, 3, 4)]
    (last,) = [path for path in names(s3) if Path(path).name.startswith("epoch-000004")]
    s3.delete_dir(last)  # as if killed before it was there, but after Ray's list of checkpoints
    run_here("elastic", patches, tmp_path / "second", STORAGE)
    second = load_tensors(tmp_path / "second" / "state.pt")
    assert second["history"][:3] == history[:3]  # not run again: the same to the nanosecond
    assert second["history"][3]["seconds"] != history[3]["seconds"]
    assert same(second, first)
    assert not any(name.endswith(".tmp") for name in names(s3))


def names(s3: FileSystem) -> list[str]:
    return [file.path for file in s3.get_file_info(FileSelector("bucket", recursive=True))]


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
