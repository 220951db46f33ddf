"""The runs in MLflow: a pipeline's run holds its sweep's run, which holds the trials' runs.

The stages of one `dvc repro` are separate processes. They find their common run by a tag: the
digest of the settings, the data and the experiment's name. A run is open until `evaluate`
completes it. A rerun after a kill or an error continues the open run; a rerun after `evaluate`
gets a new run.

MLflow's status of an open run is RUNNING only while a stage works on it. A stage that succeeds
sets it to SCHEDULED, because the next stage may fail before it opens the run. A stage that ends
with an error sets it to FAILED; a stage that a signal ends sets it to KILLED. The next stage, or a
rerun, sets it to RUNNING again. Only kill -9 can leave an abandoned run RUNNING.
"""

import os
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.common.files import digest
from pipeline.settings.params import Settings
from pipeline.tracking.tracked_run import NAME_TAG, TrackedRun, open_run
from pipeline.tracking.tracker import KIND_TAG, Tracker

KEY_TAG = "skipscan.key"
OPEN_TAG = "skipscan.open"
SWEEP_TAG = "skipscan.sweep_run"
BEST_TAG = "skipscan.best"  # "true" on the run of a sweep's best trial


def pipeline_run(tracker: Tracker, settings: Settings, data: str) -> TrackedRun:
    """Return the open pipeline run of these settings and data; make it if there is none.

    Returns `NoRun` if the store fails.
    """
    experiment = os.environ.get("DVC_EXP_NAME", "")
    key = digest([asdict(settings), data, experiment])
    tags = {
        KIND_TAG: "pipeline",
        "skipscan.data": data,
        "skipscan.preset": settings.preset,
        "mlflow.source.name": "dvc repro",
        "mlflow.source.git.commit": _git_commit(),
        **({"dvc.experiment": experiment} if experiment else {}),
    }
    name = experiment or f"{settings.scans.source}-{settings.preset}-{key[:4]}"
    params = {"preset": settings.preset, **_flat(_blocks(settings))}
    return open_run(tracker, {KEY_TAG: key, OPEN_TAG: "true"}, name, tags, params)


def complete(run: TrackedRun) -> None:
    """Close a pipeline's run for good: a rerun gets a new run."""
    run.set_tags({OPEN_TAG: "false"})
    run.finish()


def trial_run_name(trial: str) -> str:
    """Return the name of a trial's run; `trial` is Ray Tune's id of the trial."""
    return f"trial-{trial}"


def kill_others(sweep: TrackedRun, names: Collection[str]) -> None:
    """Close the trial runs in `sweep` that are not in `names`: a kill left them behind."""
    for name, run in sweep.children({}).items():
        if name not in names:
            run.finish("KILLED")


def tag_best(sweep: TrackedRun, best: str) -> None:
    """Tag the trial run named `best`, and remove this tag from all other trial runs in `sweep`."""
    for run in sweep.children({BEST_TAG: "true"}).values():
        run.remove_tag(BEST_TAG)
    for run in sweep.children({NAME_TAG: best}).values():
        run.set_tags({BEST_TAG: "true"})


def _blocks(settings: Settings) -> dict[str, Any]:
    return {name: block for name, block in asdict(settings).items() if isinstance(block, dict)}


def _flat(blocks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{block}.{name}": v for block, values in blocks.items() for name, v in values.items()}


def _git_commit() -> str:
    """Return the checkout's commit, or "" if there is no git program, no checkout or no commit."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:  # git is not installed, or cannot be run
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
