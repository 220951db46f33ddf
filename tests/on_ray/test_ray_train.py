"""Two real workers, and a training that is killed and goes on."""

from dataclasses import replace
from pathlib import Path, PurePath

import pytest
from mlflow.tracking import MlflowClient
from pyarrow.fs import FileSelector, FileSystem, FileType
from ray.train import ControllerError

from pipeline.cluster.storage import Storage
from pipeline.common.errors import InputError
from pipeline.models.tensor_files import load_tensors
from pipeline.settings.resources import WorkerResources
from pipeline.training.on_ray import TrainJob, train_on_ray
from pipeline.training.ray_checkpoints import RAYS_LIST, newest_state
from tests.comparing import same
from tests.on_ray.conftest import ON_RAY, STORAGE, RunHere
from tests.on_ray.jobs import ELASTIC, TRAIN
from tests.on_ray.processes import kill_when, start

pytestmark = ON_RAY


@pytest.fixture(scope="module")
def undisturbed(run_here: RunHere, patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run_here("train", patches, folder)
    return folder


def test_two_workers_train_and_log_every_epoch(undisturbed: Path) -> None:
    state = load_tensors(undisturbed / "state.pt")
    assert [(m["epoch"], m["workers"]) for m in state["history"]] == [(n, 2) for n in (1, 2, 3, 4)]
    assert state["history"][-1]["loss_con"] < state["history"][0]["loss_con"]
    client = MlflowClient(f"sqlite:///{undisturbed / 'mlflow.db'}")
    (run,) = client.search_runs(["1"])
    curve = client.get_metric_history(run.info.run_id, "loss_g")
    assert [point.value for point in curve] == [m["loss_g"] for m in state["history"]]


def test_killed_and_resumed_at_an_address_equals_undisturbed_in_a_folder(
    undisturbed: Path,
    s3: FileSystem,
    run_here: RunHere,
    patches: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On as many workers as there is room for, which are two here too."""
    key = TRAIN.key("data", ELASTIC)
    folder = f"bucket/skipscan/train-{key[:16]}"
    process = start("elastic", patches, tmp_path, STORAGE)
    # Ray goes on from the checkpoints in its list, which it writes after the checkpoint itself.
    reachable = kill_when(process, lambda: "epoch-000002" in rays_list(s3, folder))
    assert len(reachable) <= 1  # PyTorch's meeting point of the workers, which it opens to all
    assert not (tmp_path / "state.pt").exists()
    checkpoints = sorted(path for path in names(s3, folder) if path.endswith("/checkpoint.pt"))
    s3.delete_dir(str(PurePath(checkpoints[-1]).parent))  # as if killed before it was there
    kept = newest_state(s3, folder, key)
    assert kept is not None
    cut_short = leave_one_cut_short(s3, checkpoints[0], f"{folder}/epoch-000099-0")
    run_here("elastic", patches, tmp_path, STORAGE)
    expected, found = load_tensors(undisturbed / "state.pt"), load_tensors(tmp_path / "state.pt")
    assert found["epoch"] == TRAIN.epochs
    assert same(found, expected)
    assert [(m["epoch"], m["workers"]) for m in found["history"]] == [(n, 2) for n in (1, 2, 3, 4)]
    # The epochs that it had were not run again: they took what they had taken, to the nanosecond.
    assert found["history"][: kept["epoch"]] == kept["history"]
    assert f"{cut_short}: incomplete or foreign file of tensors" in "".join(capsys.readouterr())
    assert not any(name.endswith(".tmp") for name in names(s3, "bucket"))


def test_a_training_that_diverges_is_not_retried(
    session: None, patches: Path, tmp_path: Path
) -> None:
    settings = replace(TRAIN, model=replace(TRAIN.model, learning_rate=1e30))
    job = TrainJob(settings, str(patches), "key")
    with pytest.raises(InputError, match=r"^train: \w+ is (nan|inf) in epoch 1: lower") as caught:
        train_on_ray(job, 1, WorkerResources(1, gpus=0), Storage(str(tmp_path)))
    assert isinstance(caught.value.__cause__, ControllerError)  # else it is an error after retries


def names(filesystem: FileSystem, folder: str) -> list[str]:
    return [file.path for file in filesystem.get_file_info(FileSelector(folder, recursive=True))]


def rays_list(filesystem: FileSystem, folder: str) -> str:
    """Ray Train's list of a run's checkpoints; "" before there is one."""
    place = f"{folder}/{RAYS_LIST}"
    if filesystem.get_file_info(place).type == FileType.NotFound:
        return ""
    with filesystem.open_input_file(place) as file:
        return bytes(file.read()).decode()


def leave_one_cut_short(filesystem: FileSystem, whole: str, folder: str) -> str:
    """What a kill while a checkpoint is written leaves, later than the others."""
    cut_short = f"{folder}/{PurePath(whole).name}"
    with filesystem.open_input_file(whole) as file:
        content = file.read()
    with filesystem.open_output_stream(cut_short) as file:
        file.write(content[:-1])
    return cut_short
