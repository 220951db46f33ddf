import pickle
import shutil
import socket
import subprocess
import sys
import time
import unicodedata
from collections import OrderedDict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline.common.errors import InputError
from pipeline.models.trained_model import TrainedModel
from pipeline.serving.contents import model_contents
from pipeline.settings.params import load_settings
from pipeline.sweeps.results import SweepResult, TrialResult, write_sweep
from pipeline.tracking.runs import (
    BEST_TAG,
    OPEN_TAG,
    SWEEP_TAG,
    Origin,
    _decided,
    chosen_params,
    close_abandoned_trials,
    complete,
    completed_run,
    flat_metrics,
    pipeline_run,
    tag_best,
)
from pipeline.tracking.tracked_run import NoRun, StoredRun, TrackedRun
from pipeline.tracking.tracker import PARENT_TAG, Tracker, closing_runs
from stages.entry import SWEEP
from stages.track import track_sweep
from tests.imports import ROOT
from tests.mlflow_stores import tracker_in
from tests.tiny import LOSSES, MODEL
from tests.tiny_model import make_model

SETTINGS = load_settings(ROOT / "params.yaml", ROOT / "presets.yaml")
PATCHES = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)


# Making a store takes seconds. A fixture has no marks of its own, but a parameter of it has.
@pytest.fixture(
    scope="module", params=[pytest.param(None, marks=pytest.mark.slow, id=pytest.HIDDEN_PARAM)]
)
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        return tracker_in(folder, patch)


def origin(data: str) -> Origin:
    return Origin.now(SETTINGS, data)


def test_the_stages_of_a_run_share_it_until_it_is_finished(tracker: Tracker) -> None:
    first = pipeline_run(tracker, origin("data-a"))
    assert pipeline_run(tracker, origin("data-a")) == first
    assert pipeline_run(tracker, origin("data-b")) != first
    complete(first, "results")
    assert pipeline_run(tracker, origin("data-a")) != first
    run = logged(first)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.false_alarm_rate"] == "0.05"
    assert run.data.params["model.batch_size"] == "64"
    assert run.data.tags["skipscan.data"] == "data-a"


def test_runs_are_told_apart_by_their_parameters(tracker: Tracker) -> None:
    other = Origin.now(replace(SETTINGS, cache_gb=1), "data-m")
    assert pipeline_run(tracker, other) != pipeline_run(tracker, origin("data-m"))


def test_the_same_results_are_in_one_run_unless_a_stage_has_opened_another(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = origin("data-r")
    assert completed_run(tracker, made, "results") == ""
    run = pipeline_run(tracker, made)
    assert completed_run(tracker, made, "results") == ""
    complete(run, "results")
    assert completed_run(tracker, made, "results") == logged(run).info.run_name
    assert completed_run(tracker, made, "others") == ""
    assert completed_run(tracker, origin("data-q"), "results") == ""
    monkeypatch.setenv("DVC_EXP_NAME", "exp")
    assert completed_run(tracker, origin("data-r"), "results") == ""
    pipeline_run(tracker, made)
    assert completed_run(tracker, made, "results") == ""


def test_a_run_is_asked_of_the_store(tracker: Tracker) -> None:
    run = pipeline_run(tracker, origin("data-h"))
    assert not tracker.has_finished(run.id)
    run.finish()
    assert tracker.has_finished(run.id)
    assert not tracker.has_finished(None)
    assert not tracker.has_finished("0" * 32)
    tracker.client().delete_run(str(run.id))
    assert not tracker.has_finished(run.id)


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "KILLED"), (InputError("x"), "FAILED"), (IndexError("x"), "FAILED")],
)
def test_an_error_closes_what_is_open_and_a_rerun_opens_it_again(
    error: BaseException, status: str, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.tracker._used", {tracker})
    monkeypatch.setattr("pipeline.tracking.tracker._failed", set())
    data = f"data-{type(error).__name__}"

    @closing_runs()
    def stage() -> None:
        sweep = pipeline_run(tracker, origin(data)).child("sweep")
        sweep.child("trial-done").finish()
        sweep.child("trial-running")
        raise error

    with pytest.raises(type(error)):
        stage()
    monkeypatch.setattr("pipeline.tracking.tracker._failed", set())
    (parent,) = tracker.find({"skipscan.data": data})
    assert parent.info.status == status
    (sweep,) = tracker.find({PARENT_TAG: parent.info.run_id})
    assert sweep.info.status == status
    trials = tracker.find({PARENT_TAG: sweep.info.run_id})
    states = {run.info.run_name: run.info.status for run in trials}
    assert states == {"trial-done": "FINISHED", "trial-running": status}
    again = pipeline_run(tracker, origin(data))
    assert again.id == parent.info.run_id
    sweep_again = again.child("sweep")
    assert sweep_again.id == sweep.info.run_id
    for run in (again, sweep_again):
        assert logged(run).info.status == "RUNNING"


def test_between_two_stages_a_run_is_scheduled(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.tracker._used", {tracker})
    monkeypatch.setattr("pipeline.tracking.tracker._failed", set())
    others = nested(tracker, "other")

    @closing_runs()
    def stage() -> TrackedRun:
        run = pipeline_run(tracker, origin("data-s"))
        assert logged(run).info.status == "RUNNING"
        others.finish()
        return run

    @closing_runs()
    def fails_early() -> None:
        raise InputError("params.yaml: unknown parameter")

    first = stage()
    monkeypatch.setattr("pipeline.tracking.tracker._failed", set())
    with pytest.raises(InputError):
        fails_early()
    run = logged(first)
    assert (run.info.status, run.data.tags[OPEN_TAG]) == ("SCHEDULED", "true")
    assert logged(others).info.status == "FINISHED"
    monkeypatch.setattr("pipeline.tracking.tracker._failed", set())
    assert stage() == first


def test_without_a_git_program_the_commit_is_left_empty(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = logged(pipeline_run(tracker, origin("data-g")))
    assert run.data.tags["mlflow.source.git.commit"] == ""


def test_a_run_names_the_command_that_made_it(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = logged(pipeline_run(tracker, origin("data-n")))
    assert run.data.tags["mlflow.source.name"] == "dvc repro"
    monkeypatch.setenv("DVC_EXP_NAME", "ashen-gull")
    run = logged(pipeline_run(tracker, origin("data-n")))
    assert run.data.tags["mlflow.source.name"] == "dvc exp run"


def test_no_parameter_is_logged_twice_nor_before_it_is_decided(tracker: Tracker) -> None:
    run = pipeline_run(tracker, origin("data-p"))
    before = logged(run).data.params
    assert not {name for name in before if name.startswith("train.la")}
    run.log_params(chosen_params({**asdict(MODEL), **asdict(LOSSES)}))
    after = logged(run).data.params
    assert after.items() >= before.items()
    assert (after["train.lambda_con"], after["train.latent_dim"]) == ("40", "10")
    names = [name.rpartition(".")[2] for name in after if name.startswith(("model.", "train."))]
    assert len(set(names)) == len(names)


def test_a_setting_that_is_given_is_logged_at_once_and_a_searched_one_is_not() -> None:
    losses = {f"lambda_{name}": 7 for name in ("adv", "con", "lat")} | {"latent_dim": 9}
    blocks = asdict(SETTINGS)
    blocks["tune"]["space"]["learning_rate"] = [1e-4, 1e-2]
    given = _decided({**blocks, "train": {**blocks["train"], **losses}})
    assert (given["train.lambda_con"], given["model.learning_rate"]) == (7, 2e-3)
    searched = _decided({**blocks, "train": {**blocks["train"], **losses, "lambda_con": "sweep"}})
    assert given.keys() - searched.keys() == {"train.lambda_con", "model.learning_rate"} | {
        f"train.{name}" for name in losses if name != "lambda_con"
    }


def test_parameters_can_be_logged_again(tracker: Tracker) -> None:
    run = nested(tracker, "params")
    run.log_params({f"p{number}": number for number in range(150)})
    run.log_params({"p0": 0, "new": 1})
    assert len(logged(run).data.params) == 151


def test_one_trial_is_tagged_as_the_best(tracker: Tracker) -> None:
    sweep = StoredRun(tracker, "tagged sweep")
    runs = {name: sweep.child(name) for name in ("trial-a", "trial-b")}
    for run in runs.values():
        run.finish()
    tag_best(sweep, "trial-a")
    tag_best(sweep, "trial-b")
    found = {name: logged(run) for name, run in runs.items()}
    assert BEST_TAG not in found["trial-a"].data.tags
    names = {run.info.run_name for run in found.values()}
    assert names == {"trial-a", "trial-b (best)"}
    assert sweep.child("trial-b") == runs["trial-b"]
    assert found["trial-b"].data.tags[BEST_TAG] == "true"
    assert found["trial-b"].info.status == "FINISHED"


def test_trials_that_a_kill_left_behind_are_closed(tracker: Tracker) -> None:
    sweep = StoredRun(tracker, "killed sweep")
    runs = {name: sweep.child(name) for name in ("trial-a", "trial-b")}
    close_abandoned_trials(sweep, ["trial-a"])
    states = {name: logged(run).info.status for name, run in runs.items()}
    assert states == {"trial-a": "RUNNING", "trial-b": "KILLED"}


def test_without_a_sweep_none_is_logged(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sweep(SWEEP, None, "none", None)
    parent = pipeline_run(tracker, origin("data-w"))
    assert track_sweep(tracker, parent) == {SWEEP_TAG: "none", "objective": "none"}
    assert parent.children({}) == {}


def test_a_sweep_of_which_the_store_lacks_a_part_is_logged_later(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parent = pipeline_run(tracker, origin("data-p"))
    begun = parent.child("sweep")  # then the store failed
    curve = [{"epoch": 1.0, "objective": 0.7}]
    trials = [
        TrialResult(name, {}, objective, "finished", 1, 1.0, 0.0, 1.0, "", curve)
        for name, objective in (("a", 0.7), ("b", 0.6))
    ]
    write_sweep(SWEEP, SweepResult(trials), "objective", begun.id)
    assert track_sweep(tracker, parent) == {SWEEP_TAG: begun.id, "objective": "objective"}
    assert tracker.has_finished(begun.id)
    assert set(begun.children({})) == {"trial-a", "trial-b"}
    assert set(begun.children({BEST_TAG: "true"})) == {"trial-a"}
    assert logged(begun).data.metrics == {"objective": 0.7}
    files = tracker.client().list_artifacts(str(begun.id), "sweep")
    assert {file.path for file in files} == {f"sweep/{path.name}" for path in SWEEP.iterdir()}


@pytest.mark.slow
def test_a_database_is_there_only_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    script = "from pipeline.tracking.tracker import Tracker; Tracker.open()"
    running = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    while not (cut_short := list(tmp_path.glob("mlflow.db.*.tmp"))):
        assert running.poll() is None
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert cut_short[0].exists()
    assert not (tmp_path / "mlflow.db").exists()
    again = Tracker.open()
    assert not again.failed
    assert not list(tmp_path.glob("mlflow.db.*.tmp*"))
    assert pipeline_run(again, origin("data-w")).id


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "projét",
        unicodedata.normalize("NFD", "projét"),
        "my project #1",
        "50%41",
        "ü p%r?o#j [1]",
    ],
)
def test_artifacts_are_in_the_project_whatever_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "all" / name
    folder.mkdir(parents=True)
    ours = tracker_in(folder, monkeypatch)
    run = pipeline_run(ours, origin("data-f"))
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "table.txt").write_text("AUC")
    run.log_folder(tmp_path / "evaluation", "evaluation")
    assert [path.name for path in folder.parent.iterdir()] == [name]
    assert (folder / "mlflow.db").exists()
    assert len(list(folder.rglob("mlartifacts/**/table.txt"))) == 1
    client = MlflowClient(ours.uri)
    (listed,) = client.list_artifacts(str(run.id), "evaluation")
    assert Path(client.download_artifacts(str(run.id), listed.path)).read_text() == "AUC"


@pytest.mark.slow
def test_a_copy_of_a_project_has_its_own_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, copied = tmp_path / "a project", tmp_path / "its cöpy"
    first, more = tmp_path / "first", tmp_path / "more"
    for folder in (original, first, more):
        folder.mkdir()
    (first / "table.txt").write_text("AUC")
    run = pipeline_run(tracker_in(original, monkeypatch), origin("data-c"))
    run.log_folder(first, "evaluation")
    shutil.copytree(original, copied)
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}

    monkeypatch.setattr("pipeline.tracking.tracker._experiments", {})
    # MLflow remembers where a run's artifacts are for as long as a process lives.
    monkeypatch.setattr(
        "mlflow.tracking._tracking_service.utils._artifact_repos_cache", OrderedDict()
    )
    ours = tracker_in(copied, monkeypatch)
    again = pipeline_run(ours, origin("data-c"))
    assert again.id == run.id
    (more / "more.txt").write_text("more")
    again.log_folder(more, "evaluation")
    pipeline_run(ours, origin("data-d")).log_folder(more, "evaluation")
    assert {path: path.read_bytes() for path in original.rglob("*") if path.is_file()} == before
    found = [path.name for path in copied.rglob("*.txt")]
    assert sorted(found) == ["more.txt", "more.txt", "table.txt"]
    listed = MlflowClient(ours.uri).list_artifacts(str(run.id), "evaluation")
    assert [artifact.path for artifact in listed] == ["evaluation/more.txt", "evaluation/table.txt"]


def test_undefined_metrics_are_left_out(tracker: Tracker) -> None:
    run = nested(tracker, "metrics")
    run.log_metrics({"auc/knife": None, "auc/gun": 0.75})
    assert logged(run).data.metrics == {"auc/gun": 0.75}


def test_only_missing_epochs_are_logged(tracker: Tracker) -> None:
    run = nested(tracker, "history")
    history = [{"epoch": float(epoch), "loss_g": 1.0 / epoch} for epoch in (1, 2, 3)]
    run.log_metrics(history[0], 1)
    run.log_missing_history(history)
    points = MlflowClient(tracker.uri).get_metric_history(str(run.id), "loss_g")
    assert [point.step for point in points] == [1, 2, 3]


def logged_model(run: TrackedRun, folder: Path, metrics: dict[str, float | None]) -> TrainedModel:
    """Log a small model, with a scan as its example."""
    model = make_model()
    model.save(folder / "model.pt")
    contents = model_contents(folder / "model.pt", PATCHES[0])
    run.log_model("skipscan-generated", metrics, contents)
    return model


@pytest.mark.filterwarnings("ignore")  # of pandas, on MLflow's use of it
def test_the_logged_model_is_registered_as_the_candidate(tracker: Tracker, tmp_path: Path) -> None:
    run = nested(tracker, "model")
    run.log_dataset("generated", "data/patches", "0123456789")
    model = logged_model(run, tmp_path, {"auc/gun": 0.75})
    client = MlflowClient(tracker.uri)
    (logged,) = client.search_logged_models([experiment_of(tracker)])
    assert logged.name == "skipscan-generated"
    (metric,) = logged.metrics or []
    assert (metric.key, metric.value) == ("auc/gun", 0.75)
    assert (metric.dataset_name, metric.dataset_digest) == ("generated", "01234567")
    version = client.get_model_version_by_alias("skipscan", "candidate")
    assert version.run_id == run.id
    assert version.source == f"models:/{logged.model_id}"
    files = Path(logged.artifact_location.removeprefix("file://"))
    assert not list(files.rglob("*.pkl"))
    kept = TrainedModel.load(files / "artifacts" / "model.pt")
    assert kept.calibration == model.calibration


def test_a_store_that_is_gone_is_said_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: nobody answers there
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        gone = Tracker.open()
        run = pipeline_run(gone, origin("data"))
        run.child("sweep").log_metrics({"auc": 0.5})
        logged_model(run, tmp_path, {})
        complete(run, "results")
        StoredRun(gone, "made before it failed").finish()
    assert run == NoRun()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"MLflow at {gone.uri} failed, so this run is not logged there: ")
    assert line.endswith("log them later with `python -m stages track`")


@pytest.mark.slow
def test_a_database_without_its_driver_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+pymysql://u:secret@127.0.0.1/db")
    assert Tracker.open().failed
    (line,) = capsys.readouterr().err.splitlines()
    assert "No module named" in line
    assert "secret" not in line


def test_classes_with_characters_that_mlflow_refuses_are_logged(tracker: Tracker) -> None:
    names = ["gun (toy)", "knife&fork", "a/b", "..", "kid's", "kid*s"]
    metrics = {"auc": dict.fromkeys(names, 0.5), "deep": {"x": {"y": 1.0}}}
    run = pipeline_run(tracker, origin("data"))
    run.log_metrics(flat_metrics(metrics))
    assert not tracker.failed
    found = MlflowClient(tracker.uri).get_run(str(run.id)).data.metrics
    assert sorted(found) == [
        "auc/_", "auc/a_b", "auc/gun _toy_", "auc/kid_s", "auc/kid_s_2", "auc/knife_fork",
        "deep/x/y",
    ]  # fmt: skip


def test_a_run_that_was_not_made_takes_all_that_another_takes() -> None:
    run = pickle.loads(pickle.dumps(NoRun()))
    assert run.child("sweep") == run
    assert run.id is None
    close_abandoned_trials(run, [])
    tag_best(run, "trial-a")
    run.log_metrics({"auc": 0.5}, step=1)
    assert public(NoRun) == public(StoredRun) | {"id"}


def public(of: type) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def nested(tracker: Tracker, name: str) -> TrackedRun:
    """A run of this name, nested in one that all of them share."""
    return StoredRun(tracker, "parent").child(name)


def logged(run: TrackedRun) -> Run:
    """The run as MLflow has it."""
    assert isinstance(run, StoredRun)
    return run.tracker.client().get_run(run.id)


def experiment_of(tracker: Tracker) -> str:
    experiment = MlflowClient(tracker.uri).get_experiment_by_name("skipscan")
    assert experiment is not None
    return str(experiment.experiment_id)
