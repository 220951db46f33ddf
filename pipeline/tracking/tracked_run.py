"""A run in an MLflow store, with methods that log to it."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import mlflow
import mlflow.pyfunc
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag

from pipeline.tracking.tracker import KIND_TAG, PARENT_TAG, Tracker

REGISTERED = "skipscan"  # the name of the registered model, which every run gives a version
CANDIDATE = "candidate"  # the alias of its newest version

CHILD_TAG = "skipscan.name"  # of a nested run, whose name in MLflow may say more
NOTE_TAG = "mlflow.note.content"  # the run's description, in Markdown
MAX_PARAMS, MAX_METRICS = 100, 1000  # MLflow's limits for one log_batch call

P = ParamSpec("P")


def _logs(
    method: "Callable[Concatenate[StoredRun, P], None]",
) -> "Callable[Concatenate[StoredRun, P], None]":
    """Decorate a method that logs to a run: it does nothing once the store has failed."""

    @functools.wraps(method)
    def guarded(run: "StoredRun", /, *args: P.args, **kwargs: P.kwargs) -> None:
        if not run.tracker.failed:
            with run.tracker.tolerating_store_errors():
                method(run, *args, **kwargs)

    return guarded


def open_run(
    tracker: Tracker,
    key: Mapping[str, str],
    name: str,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
) -> "TrackedRun":
    """Reopen the run that has the tags `key`, or make one with the tags `key` and `tags`.

    Logs `params` to the run. Returns `NoRun` if the store fails.
    """
    if not tracker.failed:
        with tracker.tolerating_store_errors():
            runs = tracker.find(key)
            if runs:
                run = StoredRun(tracker, tracker.reopen(runs[0]))
                run.log_params(params)
            else:
                run = StoredRun(tracker, tracker.create(name, {**key, **tags}))
                run._log_new_params(params)
            return run
    return NoRun()


@dataclass(frozen=True)
class StoredRun:
    """A run in an MLflow store. Holds only strings, so it can be sent to a worker.

    Attributes:
        tracker: the store.
        id: MLflow's id of the run.
    """

    tracker: Tracker
    id: str

    def child(self, name: str, params: Mapping[str, Any] | None = None) -> "TrackedRun":
        """Open the run `name` nested in this run, or make it, and log `params` to it."""
        kind = name.partition("-")[0]  # "sweep" or "trial"
        key = {PARENT_TAG: self.id, CHILD_TAG: name}
        return open_run(self.tracker, key, name, {KIND_TAG: kind}, params or {})

    def children(self, tags: Mapping[str, str]) -> "dict[str, StoredRun]":
        """Return the runs nested in this run that have `tags`, by `CHILD_TAG`; {} on failure."""
        if not self.tracker.failed:
            with self.tracker.tolerating_store_errors():
                runs = self.tracker.find({PARENT_TAG: self.id, **tags})
                return {
                    run.data.tags[CHILD_TAG]: StoredRun(self.tracker, run.info.run_id)
                    for run in runs
                    if CHILD_TAG in run.data.tags
                }
        return {}

    @_logs
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log the parameters that the run lacks: MLflow refuses to change a logged parameter."""
        logged = self.tracker.client().get_run(self.id).data.params
        self._log_new_params({name: v for name, v in params.items() if name not in logged})

    def _log_new_params(self, params: Mapping[str, Any]) -> None:
        new = [Param(name, str(value)) for name, value in params.items()]
        for start in range(0, len(new), MAX_PARAMS):
            self.tracker.client().log_batch(self.id, params=new[start : start + MAX_PARAMS])

    @_logs
    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log the metrics that are not None, `MAX_METRICS` in one call."""
        now = int(time.time() * 1000)
        defined = [Metric(k, float(v), now, step) for k, v in metrics.items() if v is not None]
        for start in range(0, len(defined), MAX_METRICS):
            self.tracker.client().log_batch(self.id, metrics=defined[start : start + MAX_METRICS])

    def log_epoch(self, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch as a step of the run's curves."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        self.log_metrics(values, int(metrics["epoch"]))

    @_logs
    def log_missing_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs that the run lacks: an earlier run may have done the training."""
        curve = self.tracker.client().get_metric_history(self.id, "loss_g")
        logged = {metric.step for metric in curve}
        for metrics in history:
            if metrics["epoch"] not in logged:
                self.log_epoch(metrics)

    @_logs
    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tag the run."""
        self.tracker.client().log_batch(self.id, tags=[RunTag(k, v) for k, v in tags.items()])

    @_logs
    def rename(self, name: str) -> None:
        """Change the name that MLflow's pages show."""
        self.tracker.client().update_run(self.id, name=name)

    @_logs
    def remove_tag(self, name: str) -> None:
        """Remove a tag from the run."""
        self.tracker.client().delete_tag(self.id, name)

    @_logs
    def log_dataset(self, name: str, source: str, data: str) -> None:
        """Log the name, source and digest of the data that the run uses."""
        dataset = Dataset(name=name, digest=data[:8], source_type="local", source=source)
        self.tracker.client().log_inputs(self.id, [DatasetInput(dataset)])

    @_logs
    def log_folder(self, folder: Path, name: str | None) -> None:
        """Log every file of a folder as artifacts under `name`, or at the top if it is None."""
        self.tracker.client().log_artifacts(self.id, str(folder), name)

    @_logs
    def log_model(
        self, name: str, metrics: Mapping[str, float | None], contents: Mapping[str, Any]
    ) -> None:
        """Log and register a model; its new version gets the alias `candidate`.

        Args:
            name: of the model, beside its version of `REGISTERED`.
            metrics: the model's results on the run's dataset.
            contents: further arguments of `mlflow.pyfunc.log_model`.
        """
        mlflow.set_tracking_uri(self.tracker.uri)
        with mlflow.start_run(run_id=self.id):
            logged = mlflow.pyfunc.log_model(
                name=name, registered_model_name=REGISTERED, **contents
            )
        version = str(logged.registered_model_version)
        self.tracker.client().set_registered_model_alias(REGISTERED, CANDIDATE, version)
        self._link(str(logged.model_id), metrics)

    def _link(self, model_id: str, metrics: Mapping[str, float | None]) -> None:
        """Show a model's metrics, on the dataset of this run, on the model's own page."""
        inputs = self.tracker.client().get_run(self.id).inputs
        used = inputs.dataset_inputs[-1].dataset if inputs and inputs.dataset_inputs else None
        now = int(time.time() * 1000)
        linked = [
            Metric(
                name,
                float(value),
                now,
                step=0,
                model_id=model_id,
                dataset_name=used.name if used else None,
                dataset_digest=used.digest if used else None,
                run_id=self.id,
            )
            for name, value in metrics.items()
            if value is not None
        ]
        self.tracker.client().log_batch(self.id, metrics=linked)

    @_logs
    def finish(self, status: str = "FINISHED") -> None:
        """Close the run as FINISHED, FAILED or KILLED."""
        self.tracker.client().set_terminated(self.id, status)


@dataclass(frozen=True)
class NoRun:
    """Replaces a run that could not be made; logs nothing, also where the store works again."""

    id = None

    def child(self, *_: Any) -> "NoRun":
        """Return this `NoRun`."""
        return self

    def children(self, *_: Any) -> dict[str, StoredRun]:
        """Return no runs."""
        return {}

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        """Log nothing."""

    log_params = log_metrics = log_epoch = log_missing_history = _nothing
    set_tags = rename = remove_tag = log_dataset = log_folder = log_model = finish = _nothing


TrackedRun = StoredRun | NoRun
