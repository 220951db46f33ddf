"""Makes an MLflow store, and makes, finds and closes runs in it.

`pipeline.tracking.tracked_run` logs to a run; `pipeline.tracking.runs` defines the runs of a
pipeline; `pipeline.tracking.registry` finds models. Beside these, only `pipeline.serving` imports
mlflow.

The work continues if the store fails: this process reports the failure once and sends nothing more
to the store. `python -m stages track` later logs the missing parts from the results on disk.
"""

import glob
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.telemetry import set_telemetry_client
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from pipeline.common import terminal
from pipeline.common.errors import first_line
from pipeline.common.files import UNFINISHED, project_root, rename_durably
from pipeline.common.lines import mask_credentials

EXPERIMENT = "skipscan"
PROCESS_TAG = "skipscan.process"  # the process that opened the run last
PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "skipscan.kind"  # pipeline, sweep, trial or cell; MLflow's pages show 100 runs

# How long a server that does not answer may delay the work. MLflow's default is 14 minutes.
HTTP_TIMEOUTS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# GIT_PYTHON_REFRESH: if git is not installed, MLflow would print 15 lines about it, twice.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
LATER = "python -m stages track"  # logs the missing parts

# Of a store that is away, broken or addressed wrongly; a database without its driver raises
# ImportError.
STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError, ImportError)

# The tables and columns of MLflow's database that hold addresses of artifacts.
WITH_ARTIFACTS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)

_failed: set[str] = set()  # URIs of the stores that have failed in this process
_experiments: dict[str, str] = {}  # the id of `EXPERIMENT` in each store, by URI
_used: "set[Tracker]" = set()  # the stores that this process has opened


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, or the URI of mlflow.db in the project's root (absolute)."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(project_root() / "mlflow.db")


def sqlite_uri(path: Path) -> str:
    """Return the URI of a SQLite file.

    The URI names the driver. Without one (`sqlite:///`), MLflow makes the URI's folder without
    decoding its name: a second folder beside the project's if the name has a % or a question mark.
    """
    return f"sqlite+pysqlite:///{path}".replace("%", "%25").replace("?", "%3F")


def _artifacts() -> str:
    """The address of the project's own folder of artifacts."""
    return (project_root() / "mlartifacts").as_uri()


@contextmanager
def closing_runs() -> Iterator[None]:
    """Around a stage's `main`: close the runs that the stage has left RUNNING.

    They become KILLED if a signal ends the stage, FAILED after another error, and otherwise
    SCHEDULED for the next stage, which continues them.
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
            _failed.add(tracker.uri)  # so that no other thread opens runs or logs from now on
            with tracker.tolerating_store_errors():
                tracker.close_ours(status)


def _this_process() -> str:
    return f"{socket.gethostname()} {os.getpid()}"


@dataclass(frozen=True)
class Tracker:
    """An MLflow store. Holds only strings, so it can be sent to a worker.

    Attributes:
        uri: the store's address.
        later: the command that logs the missing parts after a failure of the store.
    """

    uri: str
    later: str = LATER

    @classmethod
    def open(cls, later: str = LATER) -> "Tracker":
        """Open the store; create or migrate it here, once, before workers use it."""
        tracker = cls(tracking_uri(), later)
        _used.add(tracker)
        with tracker.tolerating_store_errors():
            tracker._make_database()
            tracker._make_experiment()
            tracker._relocate_artifacts()
        return tracker

    @property
    def failed(self) -> bool:
        """Whether the store has failed in this process."""
        return self.uri in _failed

    @contextmanager
    def tolerating_store_errors(self) -> Iterator[None]:
        """Report an error of the store on standard error, and mark the store as failed."""
        try:
            yield
        except STORE_ERRORS as error:
            _failed.add(self.uri)
            print(
                f"MLflow at {mask_credentials(self.uri)} failed, so this run is not logged there: "
                f"{first_line(error)}. The results are kept; log them later with `{self.later}`",
                file=terminal.err(),
            )

    def reopen(self, run: Run) -> str:
        """Set a run that a stage, an error or a signal closed to RUNNING again; return its id."""
        self.client().set_tag(run.info.run_id, PROCESS_TAG, _this_process())
        self.client().update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)

    def create(self, name: str, tags: Mapping[str, str]) -> str:
        """Make a run with these tags, and return its id."""
        tags = {**tags, PROCESS_TAG: _this_process()}
        run = self.client().create_run(self._experiment_id(), tags=tags, run_name=name)
        return str(run.info.run_id)

    def find(self, tags: Mapping[str, str], *more: str) -> list[Run]:
        """Return the runs that have these tags and meet the conditions `more`, newest first."""
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        condition = " and ".join([*conditions, *more])
        page = self.client().search_runs([self._experiment_id()], condition)
        runs = list(page)
        while page.token:
            page = self.client().search_runs(
                [self._experiment_id()], condition, page_token=page.token
            )
            runs += page
        return runs

    def has_finished(self, run_id: str | None) -> bool:
        """Return whether a run is FINISHED in the store, so that it need not be logged again.

        Returns True as well if the store fails, and False for the run id None.
        """
        if run_id is None:
            return False
        if not self.failed:
            with self.tolerating_store_errors():
                try:
                    info = self.client().get_run(run_id).info
                    return bool(info.lifecycle_stage == "active" and info.status == "FINISHED")
                except MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
                    return False
        return True

    def close_ours(self, status: str) -> None:
        """Give the status to all RUNNING runs that this process has opened.

        Finds them by a tag, because a signal during `create` may lose the new run's id.
        """
        for run in self.find({PROCESS_TAG: _this_process()}, "attributes.status = 'RUNNING'"):
            self.close(run.info.run_id, status)

    def close(self, run_id: str, status: str) -> None:
        """Give the status to a run, after the RUNNING runs nested in it. A rerun reopens them."""
        for run in self.find({PARENT_TAG: run_id}, "attributes.status = 'RUNNING'"):
            self.close(run.info.run_id, status)
        self.client().set_terminated(run_id, status)

    def client(self) -> MlflowClient:
        """Return MLflow's client of the store, with short timeouts (`HTTP_TIMEOUTS`)."""
        for name, value in {**QUIET, **HTTP_TIMEOUTS}.items():
            os.environ.setdefault(name, value)
        set_telemetry_client()  # reads the variable again, as importing mlflow has read it already
        return MlflowClient(self.uri)

    def _make_database(self) -> None:
        """Make a missing SQLite file, complete or not at all.

        MLflow takes seconds to make its tables and cannot open a file that a kill left incomplete.
        """
        if not self.uri.startswith("sqlite"):
            return
        path = Path(make_url(self.uri).database or ":memory:")
        if path.name == ":memory:" or path.exists():
            return
        temporary = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
        with FileLock(f"{path}.lock"):
            for left in path.parent.glob(f"{glob.escape(path.name)}.*{UNFINISHED}*"):
                left.unlink()  # by a process that was killed
            if not path.exists():  # another process may have made it
                Tracker(sqlite_uri(temporary))._make_experiment()
                rename_durably(temporary, path)

    def _make_experiment(self) -> None:
        if self.client().get_experiment_by_name(EXPERIMENT) is None:
            # An MLflow server has its own folder for artifacts; SQLite needs one from us.
            local = self.uri.startswith("sqlite")
            artifacts = _artifacts() if local else None
            self.client().create_experiment(EXPERIMENT, artifact_location=artifacts)

    def _relocate_artifacts(self) -> None:
        """Let the runs of a project that was copied or moved have their artifacts in its folder.

        MLflow keeps the whole address of each run's artifacts, and has no call to change it. So a
        copy would write into the folder of the original.
        """
        if self.uri != sqlite_uri(project_root() / "mlflow.db"):
            return
        before = self.client().get_experiment_by_name(EXPERIMENT)
        if before is None or before.artifact_location == _artifacts():
            return
        with create_engine(self.uri).begin() as database:
            for table, column in WITH_ARTIFACTS:
                database.execute(
                    text(
                        f"UPDATE {table} SET {column} = :now || substr({column}, :length) "  # noqa: S608
                        f"WHERE substr({column}, 1, :length - 1) = :before"
                    ),
                    {
                        "now": _artifacts(),
                        "before": before.artifact_location,
                        "length": len(before.artifact_location) + 1,
                    },
                )

    def _experiment_id(self) -> str:
        if self.uri not in _experiments:
            experiment = self.client().get_experiment_by_name(EXPERIMENT)
            if experiment is None:  # the store failed in `open`
                raise MlflowException(f"no experiment {EXPERIMENT!r}")
            _experiments[self.uri] = str(experiment.experiment_id)
        return _experiments[self.uri]
