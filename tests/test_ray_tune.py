"""A real sweep, killed and started again, with its trials nested in MLflow."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline.selection import LABELLED
from tests.jobs import TUNE
from tests.processes import finish, kill_when, start

pytestmark = pytest.mark.slow


def trial_runs(folder: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs(["1"])
    return [run for run in runs if run.info.run_name.startswith("trial-")]


def finished_trials(folder: Path) -> int:
    """How many trials are logged as finished. MLflow's own client would migrate the store."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'mlflow.db'}?mode=ro", uri=True)) as store:
            query = "select count(*) from runs where status = 'FINISHED' and name like 'trial-%'"
            return int(store.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # it is still being made
        return 0


def test_a_sweep_killed_and_started_again(patches: Path, tmp_path: Path) -> None:
    process = start("sweep", patches, tmp_path)
    kill_when(process, lambda: finished_trials(tmp_path) >= 2)
    before = {run.info.run_id for run in trial_runs(tmp_path) if run.info.status == "FINISHED"}
    finish(start("sweep", patches, tmp_path), tmp_path)

    result = json.loads((tmp_path / "trials.json").read_text())
    assert len(result["trials"]) == TUNE.trials
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

    runs = trial_runs(tmp_path)
    assert len(runs) == TUNE.trials  # none was run, or logged, as another one
    assert before <= {run.info.run_id for run in runs}
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == result["sweep_run"]
        assert run.data.metrics["objective"] == run.data.metrics[LABELLED]
        assert "lambda_con" in run.data.params


def test_a_grid_of_which_half_fails(patches: Path, tmp_path: Path) -> None:
    finish(start("grid", patches, tmp_path), tmp_path)
    trials = json.loads((tmp_path / "trials.json").read_text())["trials"]
    tried = {(t["settings"]["lambda_con"], t["settings"]["learning_rate"]) for t in trials}
    assert tried == {(4, 2e-3), (4, 1e30), (40, 2e-3), (40, 1e30)}
    assert [trial["state"] for trial in trials] == ["finished"] * 2 + ["failed"] * 2
    for trial in trials[2:]:
        assert trial["settings"]["learning_rate"] == 1e30
        assert "in epoch 1: lower model.learning_rate" in trial["reason"]
    states = sorted(run.info.status for run in trial_runs(tmp_path))
    assert states == ["FAILED"] * 2 + ["FINISHED"] * 2


def test_trials_that_take_over_one_another(patches: Path, tmp_path: Path) -> None:
    finish(start("pbt", patches, tmp_path), tmp_path)
    trials = json.loads((tmp_path / "trials.json").read_text())["trials"]
    assert [trial["state"] for trial in trials] == ["finished"] * 2
    assert all(trial["epochs"] == 3 for trial in trials)
