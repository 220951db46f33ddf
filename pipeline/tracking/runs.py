"""The runs in MLflow: of a pipeline, with its sweep's nested in it, and the trials' in that.

The stages of one `dvc repro` are processes of their own, so they find their common run by a tag:
the digest of the settings, the data and the experiment's name. A run is open until `evaluate`
has completed it; a rerun after that gets a run of its own, and one after a kill or an error goes
on in the open one.

MLflow's status of an open run is RUNNING only while a stage works on it. A stage that ends well
leaves it SCHEDULED for the next one, which may fail before it opens the run; one that ends with an
error leaves it FAILED, and one that a signal ends KILLED. The next stage to open it, or a rerun,
makes it RUNNING again. Only kill -9 can leave a run RUNNING that nobody works on.
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
BEST_TAG = "skipscan.best"  # "true" of the best trial of a sweep


def pipeline_run(tracker: Tracker, settings: Settings, data: str) -> TrackedRun:
    """The open parent run of these settings and data; a new one where none is.

    `NoRun` if the store fails.
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
    """Close the run of a pipeline for good: a rerun gets another."""
    run.set_tags({OPEN_TAG: "false"})
    run.finish()


def trial_run_name(trial: str) -> str:
    """The name of a trial's run, by Ray Tune's id of the trial."""
    return f"trial-{trial}"


def kill_others(sweep: TrackedRun, names: Collection[str]) -> None:
    """Close the runs nested in the sweep's that are none of `names`: a kill left them behind."""
    for name, run in sweep.children({}).items():
        if name not in names:
            run.finish("KILLED")


def tag_best(sweep: TrackedRun, best: str) -> None:
    """Tag the run named `best` as the best of those nested in the sweep's, and no other."""
    for run in sweep.children({BEST_TAG: "true"}).values():
        run.remove_tag(BEST_TAG)
    for run in sweep.children({NAME_TAG: best}).values():
        run.set_tags({BEST_TAG: "true"})


def _blocks(settings: Settings) -> dict[str, Any]:
    return {name: block for name, block in asdict(settings).items() if isinstance(block, dict)}


def _flat(blocks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{block}.{name}": v for block, values in blocks.items() for name, v in values.items()}


def _git_commit() -> str:
    """The checkout's revision, or "" where there is no git program, no checkout or no commit."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:  # no such program, or one that cannot be run
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
