"""An MLflow store: how it is made, and how runs are made, found and closed in it.

What is logged to a run: `pipeline.tracking.tracked_run`. Which runs there are:
`pipeline.tracking.runs`. The rest of the project does not import mlflow.

A store that fails stops no work: it is said once, nothing more is sent there by this process, and
`python -m stages track` logs what is missing later, from the results on disk.
"""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.telemetry import set_telemetry_client
from mlflow.tracking import MlflowClient
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.common.files import project_root, publish

EXPERIMENT = "skipscan"
PROCESS_TAG = "skipscan.process"  # which has opened a run last
PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "skipscan.kind"  # pipeline, sweep, trial or cell: the pages show the newest 100 runs

# How long a server that does not answer may hold up the work. MLflow's own would be 14 minutes.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# The second: where there is no git program, MLflow would say so in 15 lines, twice.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
LATER = "python -m stages track"  # logs what is missing

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
    """One MLflow store. Holds nothing but words, so it can be sent to a worker.

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

    def reopen(self, run: Run) -> str:
        """Make a run RUNNING that a stage, an error or a signal had closed; returns its id."""
        self.client().set_tag(run.info.run_id, PROCESS_TAG, _this_process())
        self.client().update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)

    def create(self, name: str, tags: Mapping[str, str]) -> str:
        """Make a run with these tags; returns its id."""
        tags = {**tags, PROCESS_TAG: _this_process()}
        run = self.client().create_run(self._experiment_id(), tags=tags, run_name=name)
        return str(run.info.run_id)

    def find(self, tags: Mapping[str, str], *more: str) -> list[Run]:
        """The runs with these tags and of which `more` conditions hold, the newest first."""
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        condition = " and ".join([*conditions, *more])
        page = self.client().search_runs([self._experiment_id()], condition)
        found = list(page)
        while page.token:
            page = self.client().search_runs(
                [self._experiment_id()], condition, page_token=page.token
            )
            found += page
        return found

    def has(self, run_id: str | None) -> bool:
        """Whether a run is in the store; also where nobody can ask, since the store fails."""
        if run_id is None:
            return False
        if not self.failed:
            with self.forgiving():
                try:
                    return bool(self.client().get_run(run_id).info.lifecycle_stage == "active")
                except MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
                    return False
        return True

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
        self.client().set_terminated(run_id, status)

    def client(self) -> MlflowClient:
        """MLflow's client of the store; it gives up early on a server that does not answer."""
        for name, value in {**QUIET, **PATIENCE}.items():
            os.environ.setdefault(name, value)
        set_telemetry_client()  # asks the variable again: importing mlflow has asked it before
        return MlflowClient(self.uri)

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
                publish(beside, path)

    def _make_experiment(self) -> None:
        if self.client().get_experiment_by_name(EXPERIMENT) is None:
            # A server knows its own place for artifacts; a bare database needs to be told one.
            local = self.uri.startswith("sqlite:")
            place = (project_root() / "mlartifacts").as_uri() if local else None
            self.client().create_experiment(EXPERIMENT, artifact_location=place)

    def _experiment_id(self) -> str:
        if self.uri not in _experiments:
            experiment = self.client().get_experiment_by_name(EXPERIMENT)
            if experiment is None:  # `open` met a store that failed
                raise MlflowException(f"no experiment {EXPERIMENT!r}")
            _experiments[self.uri] = str(experiment.experiment_id)
        return _experiments[self.uri]
