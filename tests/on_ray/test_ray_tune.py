"""A real sweep, killed and started again, with its trials nested in MLflow."""

import json
import os
import pickle
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePath

import pytest
import ray
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from pyarrow.fs import FileSelector, FileSystem, LocalFileSystem, copy_files
from ray.train.constants import _get_ray_train_session_dir

from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.models.tensor_files import load_tensors
from pipeline.patches.store import PatchStore
from pipeline.settings.search_space import settings_of_trial
from pipeline.sweeps.results import SweepResult, TrialResult
from pipeline.sweeps.summary import as_study
from pipeline.tracking.runs import BEST_TAG
from pipeline.training.criterion import LABELLED_AUC, load_validation
from pipeline.training.loop import TrainSettings, Worker, train
from tests.attacks import Attack
from tests.on_ray.conftest import ON_RAY, STORAGE, RunHere
from tests.on_ray.jobs import GRID, PBT, TUNE
from tests.on_ray.processes import kill_when, start
from tests.tiny import MODEL

pytestmark = ON_RAY


@pytest.fixture(scope="module")
def grid(run_here: RunHere, patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep over a grid."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.sweeps.tune.TRIAL_FAILURES", 1)  # each restart is a process
        run_here("grid", patches, folder)
    return folder


def trial_runs(folder: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs(["1"])
    return [run for run in runs if run.info.run_name.startswith("trial-")]


def trials_in_snapshot(folder: Path) -> set[str]:
    """The trials that ended by a sealed snapshot, from which a sweep resumes."""
    ended: set[str] = set()
    for seal in folder.glob("ray/tune-*/*.seal"):
        # Ray overwrites files in place, so one may be met half written, or without its new seal.
        sealed = seal.read_text()
        for name, digest in json.loads(sealed)["files"].items() if sealed.endswith("}") else ():
            content = seal.with_name(name).read_bytes()
            if name.startswith("experiment_state") and sha256(content).hexdigest() == digest:
                trials = [json.loads(trial) for trial, _ in json.loads(content)["trial_data"]]
                ended |= {t["trial_id"] for t in trials if t["status"] == "TERMINATED"}
    return ended


def test_a_sweep_killed_and_started_again(
    run_here: RunHere, patches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start("sweep", patches, tmp_path)
    assert not kill_when(process, lambda: bool(trials_in_snapshot(tmp_path)))  # none is reachable
    before = trials_in_snapshot(tmp_path)
    assert len(before) < TUNE.trials
    (sweep,) = (path for path in tmp_path.glob("ray/tune-*") if path.is_dir())
    foreign = sweep / "callback-states-2999-01-01_00-00-00.pkl"  # Ray would unpickle the newest
    foreign.write_bytes(pickle.dumps(Attack(tmp_path / "proof")))
    capsys.readouterr()
    run_here("sweep", patches, tmp_path)
    assert f"{foreign}: cut short by a kill, or not sealed" in capsys.readouterr().err
    assert not (tmp_path / "proof").exists()

    result = json.loads((tmp_path / "trials.json").read_text())
    assert len(result["trials"]) == TUNE.trials
    assert before <= {trial["trial"] for trial in result["trials"]}  # none was run as another one
    objectives = [trial["objective"] for trial in result["trials"]]
    assert objectives == sorted(objectives, reverse=True)
    for name, value in result["best"].items():
        assert result["trials"][0]["settings"][name] == value
    assert {trial["state"] for trial in result["trials"]} <= {"finished", "stopped"}
    for trial in result["trials"]:
        assert 0 < trial["training_seconds"] < trial["ended"] - trial["started"]
        settings = trial["settings"]
        assert 4 <= settings["lambda_con"] <= 400
        assert settings["latent_dim"] in (5, 10)

    best = f"trial-{result['trials'][0]['trial']}"
    runs = {run.info.run_name: run for run in trial_runs(tmp_path)}
    runs[best] = runs.pop(f"{best} (best)")
    assert [name for name, run in runs.items() if BEST_TAG in run.data.tags] == [best]
    for trial in result["trials"]:
        run = runs.pop(f"trial-{trial['trial']}")
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == result["sweep_run"]
        assert run.data.metrics["objective"] == run.data.metrics[LABELLED_AUC]
        assert "lambda_con" in run.data.params
    assert all(run.info.status == "KILLED" for run in runs.values())


def test_a_grid_of_which_half_fails(grid: Path) -> None:
    trials = json.loads((grid / "trials.json").read_text())["trials"]
    tried = {(t["settings"]["lambda_con"], t["settings"]["learning_rate"]) for t in trials}
    assert tried == {(4, 2e-3), (4, 1e30), (40, 2e-3), (40, 1e30)}
    assert [trial["state"] for trial in trials] == ["finished"] * 2 + ["failed"] * 2
    for trial in trials[2:]:
        assert trial["settings"]["learning_rate"] == 1e30
        assert "in epoch 1: lower model.learning_rate" in trial["reason"]
    runs = trial_runs(grid)
    for run in runs:
        if run.info.status == "FINISHED":  # its run was there while it trained
            assert run.info.end_time - run.info.start_time >= 1000 * run.data.metrics["seconds"]
    states = sorted(run.info.status for run in runs)
    assert states == ["FAILED"] * 2 + ["FINISHED"] * 2


@pytest.fixture
def all_cores() -> Iterator[None]:
    """As many threads as a trial has that is alone: torch's sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield
    torch.set_num_threads(before)


def test_a_trial_is_what_it_is_alone(grid: Path, patches: Path, all_cores: None) -> None:
    """Trials share a process, one after the other; of that they may not see anything."""
    trials = json.loads((grid / "trials.json").read_text())["trials"]
    stores = [PatchStore(patches, split) for split in (TRAIN, VALIDATION, LABELLED_VALIDATION)]
    validation = load_validation(stores[1], GRID.seed, stores[2])
    for trial in trials[:2]:
        model, losses = settings_of_trial(trial["settings"], MODEL)
        settings = TrainSettings(model, losses, GRID.epochs, GRID.seed)
        (alone,) = train(settings, stores[0], validation, Worker(), lambda *_: None)["history"]
        (there,) = trial["curve"]
        for name in ("loss_g", "loss_adv", "loss_con", "loss_lat", "loss_d"):
            assert there[name] == alone[name], name


def test_trials_that_take_over_one_another(
    run_here: RunHere, patches: Path, tmp_path: Path
) -> None:
    run_here("pbt", patches, tmp_path)
    trials = json.loads((tmp_path / "trials.json").read_text())["trials"]
    ended = {(trial["state"], trial["epochs"]) for trial in trials}
    assert ("finished", 3) in ended
    # A trial that takes over the network of one that has finished has no epoch left of its own.
    assert ended <= {("finished", 3), ("stopped", 1), ("stopped", 2)}
    for trial in trials:
        values = trial["settings"]
        assert 4 <= values["lambda_con"] <= 400
        assert values["lambda_adv"] in (1, 2)
    as_study(SweepResult([TrialResult(**trial) for trial in trials]), PBT.space)


def test_a_trial_of_two_workers_at_an_address_started_again_has_nothing_left_to_do(
    run_here: RunHere, s3: FileSystem, patches: Path, tmp_path: Path
) -> None:
    run_here("parallel", patches, tmp_path / "first", STORAGE)
    require_free_cpus()
    first = json.loads((tmp_path / "first/trials.json").read_text())["trials"]
    assert [(trial["state"], trial["epochs"]) for trial in first] == [("finished", TUNE.epochs)]
    checkpoints = [
        file.path
        for file in s3.get_file_info(FileSelector("bucket/skipscan", recursive=True))
        if PurePath(file.path).match("tune-*/*/train/epoch-*/checkpoint.pt")
    ]
    assert len(checkpoints) == TUNE.epochs
    for path in checkpoints:
        copy_files(path, str(tmp_path / "copy.pt"), s3, LocalFileSystem())
        assert all(
            m["workers"] == 2 for m in load_tensors(tmp_path / "copy.pt")["state"]["history"]
        )
    assert {run.info.status for run in trial_runs(tmp_path / "first")} == {"FINISHED"}

    session = Path(_get_ray_train_session_dir())  # of a Ray that outlives a killed driver
    every = session.glob("*/tune-*/driver_artifacts/searcher-state-*.pkl")
    staged = max(every, key=lambda path: path.stat().st_mtime)
    later = staged.with_name("searcher-state-2999-01-01_00-00-00.pkl")
    later.write_bytes(pickle.dumps(Attack(tmp_path / "proof")))
    run_here("parallel", patches, tmp_path / "second", STORAGE)
    assert json.loads((tmp_path / "second/trials.json").read_text())["trials"] == first
    (logged,) = trial_runs(tmp_path / "second")  # in a store of its own
    assert (logged.info.status, logged.data.tags["state"]) == ("FINISHED", "finished")
    assert not (tmp_path / "proof").exists()


def require_free_cpus() -> None:
    """Require that a sweep leaves no CPU taken, for which the next would wait in vain."""
    deadline = time.monotonic() + 60
    all_cpus = ray.cluster_resources()["CPU"]  # type: ignore[no-untyped-call]
    while ray.available_resources().get("CPU") != all_cpus:  # type: ignore[no-untyped-call]
        assert time.monotonic() < deadline, "the sweep keeps CPUs"
        time.sleep(0.1)
