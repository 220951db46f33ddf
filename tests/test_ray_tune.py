"""A real sweep, killed and started again, with its trials nested in MLflow."""

import json
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
    if not (folder / "mlflow.db").exists():
        return 0
    try:
        return sum(run.info.status == "FINISHED" for run in trial_runs(folder))
    except Exception:  # the store is still being made
        return 0


def test_a_sweep_killed_and_started_again(patches: Path, tmp_path: Path) -> None:
    process = start("sweep", patches, tmp_path)
    kill_when(process, lambda: finished_trials(tmp_path) >= 1)
    before = {run.info.run_id for run in trial_runs(tmp_path) if run.info.status == "FINISHED"}
    finish(start("sweep", patches, tmp_path), tmp_path)

    result = json.loads((tmp_path / "trials.json").read_text())
    assert len(result["trials"]) == TUNE.trials
    objectives = [trial["objective"] for trial in result["trials"]]
    assert objectives == sorted(objectives, reverse=True)
    for name, value in result["best"].items():
        assert result["trials"][0][name] == value
    for trial in result["trials"]:
        assert TUNE.lambda_con[0] <= trial["lambda_con"] <= TUNE.lambda_con[1]
        assert trial["latent_dim"] in TUNE.latent_dim

    runs = trial_runs(tmp_path)
    assert len(runs) == TUNE.trials  # none was run, or logged, as another one
    assert before <= {run.info.run_id for run in runs}
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == result["sweep_run"]
        assert run.data.metrics["objective"] == run.data.metrics[LABELLED]
        assert "lambda_con" in run.data.params
