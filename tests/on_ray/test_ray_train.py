"""Two real workers, and a training that is killed and goes on."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipeline.models.tensor_files import load_tensors
from tests.on_ray.conftest import ON_RAY, RunHere
from tests.on_ray.jobs import TRAIN
from tests.on_ray.processes import kept_state, kill_when, start
from tests.test_training import same

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


def test_killed_and_resumed_equals_undisturbed(
    undisturbed: Path,
    run_here: RunHere,
    patches: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = start("train", patches, tmp_path)
    # Ray goes on from the checkpoints in its list, which it writes after the checkpoint itself.
    reachable = kill_when(
        process, lambda: any(tmp_path.glob("ray/train-*/checkpoint_manager_snapshot.json"))
    )
    # PyTorch's meeting point of the workers, at the first of them: it knows no other way.
    assert len(reachable) <= 1
    assert all(socket.startswith("ray::RayTrainWorker on :::") for socket in reachable)
    assert not (tmp_path / "state.pt").exists()
    kept = kept_state(f"{tmp_path}/ray", workers=2)
    cut_short = leave_one_cut_short(tmp_path)
    run_here("train", patches, tmp_path)
    expected, found = load_tensors(undisturbed / "state.pt"), load_tensors(tmp_path / "state.pt")
    assert found["epoch"] == TRAIN.epochs
    assert same(found, expected)
    # The epochs that it had were not run again: they took what they had taken, to the nanosecond.
    assert found["history"][: kept["epoch"]] == kept["history"]
    assert f"{cut_short}: not a whole checkpoint of ours" in "".join(capsys.readouterr())


def leave_one_cut_short(folder: Path) -> Path:
    """What a kill while a checkpoint is written leaves, later than the others."""
    whole = next(folder.glob("ray/train-*/epoch-*/checkpoint.pt"))
    cut_short = whole.parents[1] / "epoch-000099-0" / whole.name
    cut_short.parent.mkdir()
    cut_short.write_bytes(whole.read_bytes()[:-1])
    return cut_short
