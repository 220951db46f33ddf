"""Faults of MLflow: its server is killed or does not answer, or its disk is full."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import numpy as np

from faults.disks import fill, small_disk
from faults.kills import check_end
from faults.outcome import Outcome
from faults.project import Project, Undisturbed

SAID = "failed, so this run is not logged there"
SLOWER_SECONDS = 90  # that a server which never answers may cost a stage

Fault = Callable[[], object]


Faulty = Callable[[Project], AbstractContextManager[tuple[str, Fault]]]


def attempt(
    project: Project, outcome: Outcome, chance: np.random.Generator, faulty: Faulty
) -> None:
    """Train and evaluate with a store that fails, then log what is missing to one that does not."""
    expected = project.undisturbed("train")
    project.clean("train")
    with faulty(project) as (uri, strike):
        train(outcome, project, expected, uri, strike, chance.uniform(0, 2))
        project.must(sys.executable, "-m", "stages", "evaluate", MLFLOW_TRACKING_URI=uri)
    later(outcome, project)


def train(
    outcome: Outcome, project: Project, expected: Undisturbed, uri: str, strike: Fault, after: float
) -> None:
    """Train, and let the fault happen some time after the first checkpoint."""
    started = time.monotonic()
    running = project.stage("train", MLFLOW_TRACKING_URI=uri)
    running.wait_for(lambda: project.checkpoints("train"))
    time.sleep(after)
    outcome.hit = running.process.poll() is None
    strike()
    check_end(outcome, project, running, expected)
    seconds = time.monotonic() - started
    outcome.check(seconds < expected.seconds + SLOWER_SECONDS, f"took {seconds:.0f} s")
    said = (running.said() + running.logged("train")).count(SAID)
    outcome.check(said <= 2, "said too often")  # by the driver, and by the worker that logs


def later(outcome: Outcome, project: Project) -> None:
    """Log to a good store, and check that the curve is whole there."""
    project.must(sys.executable, "-m", "stages", "track")
    runs = [run for run in project.runs() if "loss_g" in run.data.metrics]
    if outcome.check(len(runs) == 1, "was not logged later"):
        curve = project.mlflow().get_metric_history(runs[0].info.run_id, "loss_g")
        outcome.check([point.step for point in curve] == [1, 2, 3, 4, 5, 6], "curve not whole")


@contextmanager
def killed_server(project: Project) -> Iterator[tuple[str, Fault]]:
    """Start a real server, which the fault kills."""
    port = free_port()
    folder = project.folder / "work-server"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    temporary = str(project.temporary)  # not the stages', of which nothing may stay
    server = project.start(*command, MLFLOW_DISABLE_TELEMETRY="true", TMPDIR=temporary)
    server.wait_for(lambda: answers(port))
    try:
        yield f"http://127.0.0.1:{port}", server.kill
    finally:
        server.kill()


@contextmanager
def silent_server(_project: Project) -> Iterator[tuple[str, Fault]]:
    """Open a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", lambda: None


@contextmanager
def full_disk(project: Project) -> Iterator[tuple[str, Fault]]:
    """Put the database on a disk of its own, which the fault fills."""
    with small_disk(project.folder / "work-mlflow") as disk, ExitStack() as full:
        yield f"sqlite:///{disk / 'mlflow.db'}", lambda: full.enter_context(fill(disk))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def answers(port: int) -> bool:
    """Return whether a process listens on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
