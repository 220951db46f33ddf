"""Registered models: which version is the champion, and how screening finds a model."""

import os
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR
from mlflow.telemetry import get_telemetry_client
from mlflow.tracking import MlflowClient

from pipeline.common.errors import InputError
from pipeline.models.trained_model import TrainedModel
from pipeline.serving.contents import model_contents
from pipeline.settings.params import load_settings
from pipeline.tracking.registry import Version, comparison, download_model, promote
from pipeline.tracking.runs import Origin, pipeline_run
from pipeline.tracking.tracker import HTTP_TIMEOUTS, QUIET, Tracker
from stages.screen import model_file
from tests.arrays import clutter
from tests.imports import ROOT
from tests.mlflow_stores import tracker_in
from tests.tiny_model import make_model

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, on logging


# Making a store takes seconds. A fixture has no marks of its own, but a parameter of it has.
@pytest.fixture(params=[pytest.param(None, marks=pytest.mark.slow, id=pytest.HIDDEN_PARAM)])
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    return tracker_in(tmp_path, monkeypatch)


def logged(tracker: Tracker, folder: Path, name: str, auc: float) -> str:
    """Log a run with a model; returns the run's id."""
    settings = load_settings(ROOT / "params.yaml", ROOT / "presets.yaml")
    run = pipeline_run(tracker, Origin.now(settings, name))
    run.log_dataset("generated", "data/patches", "data")
    measured = {"auc/overall": auc, "first_look": 0.5, "loss_g": 3.0}
    run.log_metrics(measured)
    make_model().save(folder / "model.pt")
    contents = model_contents(folder / "model.pt", clutter(0, 3))
    run.log_model(f"skipscan-{name}", measured, contents)
    return str(run.id)


def champion(tracker: Tracker) -> str:
    client = MlflowClient(tracker.uri)
    return str(client.get_model_version_by_alias("skipscan", "champion").version)


def test_the_better_version_is_the_champion(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no version of skipscan: run `dvc repro` first"):
        promote(anyway=False)
    logged(tracker, tmp_path, "a", 0.7)
    first, *_, last = promote(anyway=False).splitlines()
    assert first.split() == ["on", "the", "test", "split", "version", "1"]
    assert last == "version 1 is the champion: models:/skipscan@champion"
    run = logged(tracker, tmp_path, "b", 0.6)
    with pytest.raises(InputError, match="lower or missing: add --anyway") as error:
        promote(anyway=False)
    assert "version 1  version 2" in str(error.value)
    assert champion(tracker) == "1"
    promote(anyway=True)
    assert champion(tracker) == "2"
    patches = clutter(1, 3, 16, 16)[None]
    expected = make_model().detector().score([patches]).anomaly
    for number, name in enumerate(("models:/skipscan@champion", "models:/skipscan/1", run)):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = TrainedModel.load(model_file(name, folder))
        assert (found.detector().score([patches]).anomaly == expected).all()
    with pytest.raises(InputError, match=r"^models:/skipscan/9: .*: expected a model in MLflow: "):
        download_model("models:/skipscan/9", tmp_path)
    with pytest.raises(InputError, match=rf"^{'0' * 32}: .*: expected a model in MLflow: "):
        download_model("0" * 32, tmp_path)


def test_a_download_has_short_timeouts_and_reports_no_usage(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(tracker, tmp_path, "a", 0.9)
    for name in {**QUIET, **HTTP_TIMEOUTS}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mlflow.telemetry.client._MLFLOW_TELEMETRY_CLIENT", object())
    download_model("models:/skipscan/1", tmp_path)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    assert get_telemetry_client() is None


@pytest.mark.slow
def test_a_store_that_is_broken_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    for uri in (
        f"sqlite:///{tmp_path}/mlflow.db",
        "postgresql+foo://u@h/db",
        "mysql+pymysql://h/db",
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(
            InputError, match=r"^models:/skipscan/1: .*: expected a model in MLflow"
        ):
            download_model("models:/skipscan/1", tmp_path)


def test_a_champion_that_cannot_be_read_stays(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(tracker, tmp_path, "a", 0.7)
    promote(anyway=False)
    logged(tracker, tmp_path, "b", 0.6)
    whole = MlflowClient.get_model_version_by_alias

    def failing(client: MlflowClient, name: str, alias: str) -> ModelVersion:
        if alias == "champion":
            raise MlflowException("the connection broke", INTERNAL_ERROR)
        return whole(client, name, alias)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "get_model_version_by_alias", failing)
        with pytest.raises(InputError, match=r"connection broke: nothing was promoted$"):
            promote(anyway=False)
    assert champion(tracker) == "1"


def test_a_server_that_is_away_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with pytest.raises(InputError, match=r"127.0.0.1:9: .*: nothing was promoted$") as error:
        promote(anyway=False)
    assert str(error.value).startswith("MLflow at http://***@127.0.0.1:9: ")
    assert "secret" not in str(error.value)


@pytest.mark.slow
def test_a_file_that_is_no_database_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(InputError, match=r"^MLflow at sqlite:.*: nothing was promoted$"):
        promote(anyway=False)


def test_only_what_both_measured_on_the_same_data_is_compared() -> None:
    before = Version("1", {"auc/overall": 0.5, "bag_auc": 0.25, "loss_g": 1.0}, "a")
    after = Version("2", {"auc/overall": 0.75, "first_look": 0.5, "loss_g": 2.0}, "b")
    lines = comparison(before, after).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["auc/overall", "0.500", "0.750"],
        ["bag_auc", "0.250", "-"],
        ["first_look", "-", "0.500"],
    ]
    assert lines[4:] == ["they were tested on different data, so these figures do not compare"]
    assert comparison(None, after).endswith("there was no champion")


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    assert model_file("results/train/model.pt", tmp_path) == Path("results/train/model.pt")
