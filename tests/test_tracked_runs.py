"""What is asked of MLflow and told to it, without a store; test_tracking.py has a store."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.exceptions import MlflowException

from pipeline.tracking import runs, tracked_run, tracker
from pipeline.tracking.runs import KEY_TAG, Origin
from pipeline.tracking.tracked_run import CHILD_TAG, MAX_METRICS, StoredRun
from pipeline.tracking.tracker import KIND_TAG, PARENT_TAG, Tracker
from pipeline.training.log_curves import LogCurves


def test_a_run_has_the_name_of_its_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "open_run", lambda *given: given)
    parameters: dict[str, Any] = {
        "preset": "demo", "scans": {"source": "yolo"}, "tune": {"space": {}},
        "train": dict.fromkeys(("lambda_adv", "lambda_con", "lambda_lat", "latent_dim"), 1),
    }  # fmt: skip
    for experiment, expected in (("ashen-gull", "ashen-gull"), ("", "yolo-demo-")):
        made = Origin(parameters, "data", experiment, "")
        _, _, name, tags, _ = cast(Any, runs.pipeline_run(cast(Tracker, None), made))
        assert name.startswith(expected)
        assert name == experiment or name.endswith(made.key()[KEY_TAG][:4])
        assert tags.get("dvc.experiment", "") == experiment
        facts = {KIND_TAG: "pipeline", "skipscan.preset": "demo", "skipscan.data": "data"}
        assert tags.items() >= facts.items()


def test_a_nested_run_has_its_parent_its_kind_and_its_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracked_run, "open_run", lambda _, *given: given)
    found: Any = StoredRun(cast(Tracker, None), "sweep's id").child("trial-a", {"x": 1})
    key = {PARENT_TAG: "sweep's id", CHILD_TAG: "trial-a"}
    assert found == (key, "trial-a", {KIND_TAG: "trial"}, {"x": 1})


def test_many_metrics_are_logged_in_calls_that_mlflow_takes() -> None:
    sent: list[str] = []

    def log_batch(_: str, metrics: list[Any]) -> None:
        assert len(metrics) <= MAX_METRICS
        sent.extend(metric.key for metric in metrics)

    client = SimpleNamespace(log_batch=log_batch)
    store = SimpleNamespace(
        failed=False, tolerating_store_errors=nullcontext, client=lambda: client
    )
    names = [f"m{number}" for number in range(2 * MAX_METRICS + 1)]
    StoredRun(cast(Tracker, store), "run").log_metrics(dict.fromkeys(names, 0.5))
    assert sent == names


def test_an_epoch_s_metrics_are_those_of_the_first_worker_which_alone_validates() -> None:
    logged: list[Any] = []
    run = SimpleNamespace(log_epoch=logged.append)
    of_workers: list[dict[str, Any]] = [{"epoch": 1, "implant_auc": 0.75}, {"epoch": 1}]
    LogCurves(cast(Any, run)).after_report(None, of_workers, None)
    assert logged == [{"epoch": 1, "implant_auc": 0.75}]


def test_runs_beyond_mlflow_s_first_page_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Page(list[str]):
        token = ""

    def search_runs(_ids: list[str], _condition: str, page_token: str = "") -> Page:
        page = Page({"": "ab", "2": "cd", "3": "e"}[page_token])
        page.token = {"": "2", "2": "3", "3": ""}[page_token]
        return page

    monkeypatch.setattr(Tracker, "client", lambda _: SimpleNamespace(search_runs=search_runs))
    monkeypatch.setattr(Tracker, "_experiment_id", lambda _: "1")
    found: list[Any] = Tracker("sqlite://").find({})
    assert found == list("abcde")


def test_a_store_that_fails_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracker, "_failed", set())
    store = Tracker("postgresql://user:secret@host/db")

    def ask() -> None:
        raise MlflowException(f"no answer from {store.uri}")

    with store.tolerating_store_errors():
        ask()
    said = capsys.readouterr().err
    assert store.failed
    assert said.startswith("MLflow at postgresql://***@host/db failed")
    assert "secret" not in said
