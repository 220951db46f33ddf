"""The runs in MLflow: a pipeline's run holds its sweep's run, which holds the trials' runs.

The stages of one `dvc repro` are separate processes. They find their common run by a tag: the
digest of the settings, the data and the experiment's name. A run is open until `evaluate`
completes it. A rerun after a kill or an error continues the open run (`dvc exp run` without the
same `--name` makes a new run); a rerun after `evaluate` gets a new run.

MLflow's status of an open run is RUNNING only while a stage works on it. A stage that succeeds
sets it to SCHEDULED, because the next stage may fail before it opens the run. A stage that ends
with an error sets it to FAILED; a stage that a signal ends sets it to KILLED. The next stage, or a
rerun, sets it to RUNNING again. Only kill -9 can leave an abandoned run RUNNING.
"""

import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from pipeline.common.files import digest
from pipeline.common.lines import mask_credentials
from pipeline.settings.blocks import FROM_METHOD, FROM_SWEEP
from pipeline.settings.params import Settings
from pipeline.settings.search_space import LOSS_NAMES
from pipeline.tracking.tracked_run import CHILD_TAG, TrackedRun, open_run
from pipeline.tracking.tracker import KIND_TAG, Tracker

KEY_TAG = "skipscan.key"
OPEN_TAG = "skipscan.open"
SWEEP_TAG = "skipscan.sweep_run"
RESULTS_TAG = "skipscan.results"  # digest of what was logged
LABELLED_TAG = "skipscan.labelled_bags"  # number of labelled bags that taught the score
NOT_ALLOWED = re.compile(r"[^\w\-. :]")  # in a part of a metric's name
MAX_NAME = 240  # characters; MLflow takes 250
BEST_TAG = "skipscan.best"  # "true" on the run of a sweep's best trial


@dataclass(frozen=True)
class Origin:
    """The settings, data and experiment that results were made from; they identify MLflow's run.

    Attributes:
        parameters: the settings in effect, by block.
        data: digest of the patches.
        experiment: DVC's name of the experiment; "" outside of one.
        commit: the checkout's revision; "" where there is none.
    """

    parameters: Mapping[str, Any]
    data: str
    experiment: str
    commit: str

    @classmethod
    def now(cls, settings: Settings, data: str) -> "Origin":
        """Return the origin of the results that this process makes."""
        experiment = os.environ.get("DVC_EXP_NAME", "")
        masked = mask_credentials(json.dumps(asdict(settings)))
        return cls(json.loads(masked), data, experiment, _git_commit())  # as a file gives them back

    @property
    def command(self) -> str:
        """The command that made the results."""
        return "dvc exp run" if self.experiment else "dvc repro"

    def key(self) -> dict[str, str]:
        """Return the tag by which the runs of this origin are found."""
        return {KEY_TAG: digest([self.parameters, self.data, self.experiment])}


def pipeline_run(tracker: Tracker, origin: Origin) -> TrackedRun:
    """Return the open pipeline run of results of this origin; make it if there is none.

    Returns `NoRun` if the store fails.
    """
    preset, source = origin.parameters["preset"], origin.parameters["scans"]["source"]
    key = origin.key()
    tags = {
        KIND_TAG: "pipeline",
        "skipscan.data": origin.data,
        "skipscan.preset": preset,
        "mlflow.source.name": origin.command,
        "mlflow.source.git.commit": origin.commit,
        **({"dvc.experiment": origin.experiment} if origin.experiment else {}),
    }
    name = origin.experiment or f"{source}-{preset}-{key[KEY_TAG][:4]}"
    params = {"preset": preset, **_decided(origin.parameters)}
    return open_run(tracker, {**key, OPEN_TAG: "true"}, name, tags, params)


def completed_run(tracker: Tracker, origin: Origin, results: str) -> str:
    """Return the name of the run that has these results already, by their digest.

    Returns "" if there is none, or if a stage has opened a new run for them.
    """
    if not tracker.failed:
        with tracker.tolerating_store_errors():
            runs = tracker.find({**origin.key(), RESULTS_TAG: results, OPEN_TAG: "false"})
            if runs and not tracker.find({**origin.key(), OPEN_TAG: "true"}):
                return str(runs[0].info.run_name)
    return ""


def complete(run: TrackedRun, results: str) -> None:
    """Close a pipeline's run for good, with the digest of its results: a rerun gets a new run."""
    run.set_tags({OPEN_TAG: "false", RESULTS_TAG: results})
    run.finish()


def trial_run_name(trial: str) -> str:
    """Return the name of a trial's run; `trial` is Ray Tune's id of the trial."""
    return f"trial-{trial}"


def close_abandoned_trials(sweep: TrackedRun, names: Collection[str]) -> None:
    """Close the trial runs in `sweep` that are not in `names`: a kill left them behind."""
    for name, run in sweep.children({}).items():
        if name not in names:
            run.finish("KILLED")


def tag_best(sweep: TrackedRun, best: str) -> None:
    """Tag the trial run `best` and say so in its name; undo both for other trial runs."""
    for name, run in sweep.children({BEST_TAG: "true"}).items():
        run.remove_tag(BEST_TAG)
        run.rename(name)
    for name, run in sweep.children({CHILD_TAG: best}).items():
        run.set_tags({BEST_TAG: "true"})
        run.rename(f"{name} (best)")


def chosen_params(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model settings and loss settings of the training under their parameters' names."""
    return {f"{'train' if n in LOSS_NAMES else 'model'}.{n}": value for n, value in chosen.items()}


def _decided(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of all blocks, as `block.name`, without those that a sweep decides.

    MLflow keeps the first value of a parameter, so `chosen_params` logs the value of the training.
    """
    blocks = {name: block for name, block in parameters.items() if isinstance(block, Mapping)}
    flat = {f"{block}.{name}": v for block, values in blocks.items() for name, v in values.items()}
    open_losses = {name: flat[name] for name in chosen_params(dict.fromkeys(LOSS_NAMES))}
    undecided = {name for name, v in open_losses.items() if v in (FROM_SWEEP, FROM_METHOD)}
    if FROM_SWEEP in open_losses.values():
        undecided |= chosen_params(parameters["tune"]["space"]).keys()
    return {name: value for name, value in flat.items() if name not in undecided}


def _git_commit() -> str:
    """Return the checkout's commit, or "" if there is no git program, no checkout or no commit."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:  # git is not installed, or cannot be run
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def flat_metrics(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    """Flatten nested metrics to names such as ``auc/knife``, which MLflow's pages group.

    Characters that MLflow does not allow, in a class's name, become ``_``.
    """
    flat: dict[str, float | None] = {}
    for name, value in metrics.items():
        allowed = NOT_ALLOWED.sub("_", name).strip(".") or "_"
        if isinstance(value, Mapping):
            flat |= flat_metrics(value, f"{prefix}{allowed}/")
        else:
            unique = next(n for n in _numbered(f"{prefix}{allowed}"[:MAX_NAME]) if n not in flat)
            flat[unique] = value
    return flat


def _numbered(name: str) -> Iterator[str]:
    """Yield a name, and then the same with _2, _3, ..."""
    yield name
    yield from (f"{name}_{number}" for number in count(2))
