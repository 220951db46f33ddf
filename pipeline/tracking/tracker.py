"""A store of MLflow, and how runs are found in it and logged to. The only importer of mlflow.

Which runs there are: `pipeline.tracking.runs`.

A store that fails stops no work: it is said once, nothing more is sent there by this process, and
`python -m stages track` logs what is missing later, from the results on disk.
"""

import functools
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import mlflow
import mlflow.pytorch
import numpy as np
import torch
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.telemetry import set_telemetry_client
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from torch import nn

from pipeline.common.files import project_root

EXPERIMENT = "skipscan"
PROCESS_TAG = "skipscan.process"  # which has opened a run last
PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "skipscan.kind"  # pipeline, sweep, trial or cell: the pages show the newest 100 runs
MAX_PARAMS, MAX_METRICS = 100, 1000  # that one log_batch call takes

# How long a server that does not answer may hold up the work. MLflow's own would be 14 minutes.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# The second: where there is no git program, MLflow would say so in 15 lines, twice.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
LATER = "python -m stages track"  # logs what is missing
UNLOGGED = ""  # the id of a run that could not be made; nothing is logged to it

P = ParamSpec("P")
_failed: set[str] = set()  # stores that have failed in this process
_experiments: dict[str, str] = {}  # the id of ours in each store that this process has used
_used: "set[Tracker]" = set()  # that this process has opened


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or SQLite in the project's root; always absolute."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _sqlite_uri(project_root() / "mlflow.db")


def _sqlite_uri(path: Path) -> str:
    """The URI of a database in a file.

    Only what would be read as something else is coded: MLflow makes the folder that the URI names
    without decoding it, so a coded accent would leave a second folder beside the project's.
    """
    return f"sqlite:///{path}".replace("%", "%25").replace("?", "%3F")


def logs(
    method: "Callable[Concatenate[Tracker, P], None]",
) -> "Callable[Concatenate[Tracker, P], None]":
    """Of a `Tracker`'s method that logs to a run: do nothing where the run or the store failed."""

    @functools.wraps(method)
    def guarded(tracker: "Tracker", /, *args: P.args, **kwargs: P.kwargs) -> None:
        if UNLOGGED not in args[:1] and not tracker.failed:
            with tracker.forgiving():
                method(tracker, *args, **kwargs)

    return guarded


@contextmanager
def closing_runs() -> Iterator[None]:
    """Of a stage's `main`: none of the runs that it has opened stays RUNNING.

    Those that are still open become KILLED where a signal ends the stage, FAILED where another
    error does, and else SCHEDULED: the next stage goes on with them.
    """
    try:
        yield
    except BaseException as error:
        _close_runs("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    _close_runs("SCHEDULED")


def _close_runs(status: str) -> None:
    for tracker in _used:
        if not tracker.failed:
            _failed.add(tracker.uri)  # no other thread opens or logs more
            with tracker.forgiving():
                tracker.close_ours(status)


def _this_process() -> str:
    return f"{socket.gethostname()} {os.getpid()}"


@dataclass(frozen=True)
class Tracker:
    """Logs to one MLflow store. Holds nothing but words, so it can be sent to a worker.

    Attributes:
        uri: the store's address.
        later: the command that logs what a failing store has missed.
    """

    uri: str
    later: str = LATER

    @classmethod
    def open(cls, later: str = LATER) -> "Tracker":
        """Open the store, and migrate or create it, once, before workers use it."""
        tracker = cls(tracking_uri(), later)
        _used.add(tracker)
        with tracker.forgiving():
            tracker._make_database()
            tracker._make_experiment()
        return tracker

    @property
    def failed(self) -> bool:
        """Whether the store has failed in this process."""
        return self.uri in _failed

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """Take a failing store as something to say, not as an error."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            _failed.add(self.uri)
            reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
            print(
                f"MLflow at {self.uri} failed, so this run is not logged there: {reason}. The "
                f"results are kept; log them later with `{self.later}`",
                file=sys.stderr,
            )

    def run(
        self,
        key: Mapping[str, str],
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
    ) -> str:
        """The id of the run that has the tags of `key`, opened again; else of a new one.

        The new one has `tags` as well; either has `params`. `UNLOGGED` where the store fails.
        """
        if not self.failed:
            with self.forgiving():
                found = self.find(key)
                if found:
                    run_id = self._reopen(found[0])
                    self.log_params(run_id, params)
                else:
                    run_id = self._create(name, {**key, **tags})
                    self._log_new_params(run_id, params)
                return run_id
        return UNLOGGED

    def child_run(self, parent: str, name: str, params: Mapping[str, Any] | None = None) -> str:
        """The id of the run `name` nested in `parent`, with `params`; a new one where none is.

        `UNLOGGED` where the store fails, or has failed to make the parent.
        """
        if parent == UNLOGGED:
            return UNLOGGED
        kind = name.partition("-")[0]  # of "sweep", and of a trial's name
        key = {PARENT_TAG: parent, "mlflow.runName": name}
        return self.run(key, name, {KIND_TAG: kind}, params or {})

    @logs
    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log parameters; those that the run has already are left, since MLflow refuses changes."""
        known = self._client().get_run(run_id).data.params
        new = {name: value for name, value in params.items() if name not in known}
        self._log_new_params(run_id, new)

    def _log_new_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        new = [Param(name, str(value)) for name, value in params.items()]
        for start in range(0, len(new), MAX_PARAMS):
            self._client().log_batch(run_id, params=new[start : start + MAX_PARAMS])

    @logs
    def log_metrics(self, run_id: str, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log what is defined of some metrics, in one call per thousand."""
        now = int(time.time() * 1000)
        defined = [Metric(k, float(v), now, step) for k, v in metrics.items() if v is not None]
        for start in range(0, len(defined), MAX_METRICS):
            self._client().log_batch(run_id, metrics=defined[start : start + MAX_METRICS])

    def log_epoch(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch as a step of the run's curves."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        self.log_metrics(run_id, values, int(metrics["epoch"]))

    @logs
    def log_missing_history(self, run_id: str, history: Sequence[Mapping[str, float]]) -> None:
        """Log training curves that are not in the run yet: the training may be an earlier run's."""
        logged = {metric.step for metric in self._client().get_metric_history(run_id, "loss_g")}
        for metrics in history:
            if metrics["epoch"] not in logged:
                self.log_epoch(run_id, metrics)

    def close_ours(self, status: str) -> None:
        """Give the status to the runs that this process has opened and that are still RUNNING.

        Found by a tag: the id of a run may be lost to a signal while it is made.
        """
        for run in self.find({PROCESS_TAG: _this_process()}, "attributes.status = 'RUNNING'"):
            self.close(run.info.run_id, status)

    def close(self, run_id: str, status: str) -> None:
        """Give a run the status, after the open ones nested in it. A rerun opens them again."""
        for run in self.find({PARENT_TAG: run_id}, "attributes.status = 'RUNNING'"):
            self.close(run.info.run_id, status)
        self._client().set_terminated(run_id, status)

    @logs
    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Tag a run."""
        self._client().log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    @logs
    def remove_tag(self, run_id: str, name: str) -> None:
        """Take a tag off a run."""
        self._client().delete_tag(run_id, name)

    @logs
    def log_dataset(self, run_id: str, name: str, place: str, data: str) -> None:
        """Say which data a run stands on, by name, place and digest."""
        dataset = Dataset(name=name, digest=data[:8], source_type="local", source=place)
        self._client().log_inputs(run_id, [DatasetInput(dataset)])

    @logs
    def log_folder(self, run_id: str, folder: Path, name: str) -> None:
        """Log every file of a folder as artifacts under `name`."""
        self._client().log_artifacts(run_id, str(folder), name)

    @logs
    def log_file(self, run_id: str, path: Path, name: str) -> None:
        """Log a file as an artifact under `name`."""
        self._client().log_artifact(run_id, str(path), name)

    @logs
    def log_model(self, run_id: str, model: nn.Module, example: NDArray[np.uint8]) -> None:
        """Log a scoring module with its signature, exported without pickled code.

        Args:
            run_id: the run it belongs to.
            model: uint8 patches (N, H, W, C) to scores (N,).
            example: two patches or more; a batch of one would fix the batch size.
        """
        with torch.inference_mode():
            signature = infer_signature(example, model(torch.from_numpy(example)).numpy())
        mlflow.set_tracking_uri(self.uri)
        with mlflow.start_run(run_id=run_id):
            mlflow.pytorch.log_model(
                model.eval(),
                name="model",
                signature=signature,
                input_example=example,
                serialization_format="pt2",
                # Said here, or MLflow would load the model in a second process to find out.
                pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", "numpy"],
            )

    @logs
    def finish(self, run_id: str, status: str = "FINISHED") -> None:
        """Close a run as FINISHED, FAILED or KILLED."""
        self._client().set_terminated(run_id, status)

    def _make_database(self) -> None:
        """Make a SQLite file that is not there yet, whole: one cut short can never be opened.

        MLflow takes seconds over its tables, and what a kill leaves of them stands in its own way.
        """
        if not self.uri.startswith("sqlite:"):
            return
        path = Path(make_url(self.uri).database or ":memory:")
        if path.name == ":memory:" or path.exists():
            return
        beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with FileLock(f"{path}.lock"):
            if not path.exists():  # another process may have been first
                Tracker(_sqlite_uri(beside))._make_experiment()
                beside.rename(path)

    def _make_experiment(self) -> None:
        if self._client().get_experiment_by_name(EXPERIMENT) is None:
            # A server knows its own place for artifacts; a bare database needs to be told one.
            local = self.uri.startswith("sqlite:")
            place = (project_root() / "mlartifacts").as_uri() if local else None
            self._client().create_experiment(EXPERIMENT, artifact_location=place)

    def _reopen(self, run: Run) -> str:
        """An earlier stage left it as SCHEDULED, an error as FAILED, or a signal as KILLED."""
        self._client().set_tag(run.info.run_id, PROCESS_TAG, _this_process())
        self._client().update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        tags = {**tags, PROCESS_TAG: _this_process()}
        run = self._client().create_run(self._experiment_id(), tags=tags, run_name=name)
        return str(run.info.run_id)

    def find(self, tags: Mapping[str, str], *more: str) -> list[Run]:
        """The runs with these tags and of which `more` conditions hold, the newest first."""
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        condition = " and ".join([*conditions, *more])
        page = self._client().search_runs([self._experiment_id()], condition)
        found = list(page)
        while page.token:
            page = self._client().search_runs(
                [self._experiment_id()], condition, page_token=page.token
            )
            found += page
        return found

    def _experiment_id(self) -> str:
        if self.uri not in _experiments:
            experiment = self._client().get_experiment_by_name(EXPERIMENT)
            if experiment is None:  # `open` met a store that failed
                raise MlflowException(f"no experiment {EXPERIMENT!r}")
            _experiments[self.uri] = str(experiment.experiment_id)
        return _experiments[self.uri]

    def _client(self) -> MlflowClient:
        for name, value in {**QUIET, **PATIENCE}.items():
            os.environ.setdefault(name, value)
        set_telemetry_client()  # asks the variable again: importing mlflow has asked it before
        return MlflowClient(self.uri)
