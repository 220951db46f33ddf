"""The faults of a campaign, in the order in which they are tried."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from faults import changes, disks, kills, mlflow_server, neighbours, storage
from faults.outcome import FaultKind, Outcome
from faults.project import WITHOUT_TOKEN, Project, cluster

Attempt = Callable[[Project, Outcome, np.random.Generator], None]

SAME = "a rerun finds the same; no process or file stays"
ON = "goes on, with the same result"
ONE_LINE = "one line says so; a rerun finds the same"


@dataclass(frozen=True)
class Fault(FaultKind):
    """A fault that can be tried.

    Attributes:
        attempt: tries it once in a project, and notes in the outcome what did not hold.
        shared: whether its stages work on a Ray that is already running, which is faster.
    """

    attempt: Attempt
    shared: bool = False


ALONE = ("scans", "extract", "evaluate", "screen")  # stages that need no Ray
SECONDS = {
    "scans": 15.0,
    "extract": 20.0,
    "tune": 90.0,
    "train": 90.0,
    "evaluate": 60.0,
    "screen": 10.0,
}


def of_stages(
    name: str, holds: str, times: dict[str, int], attempt: Callable[..., None], shared: bool = False
) -> list[Fault]:
    """Return a fault for each stage in `times`, which `attempt` gets as `name`."""
    return [
        Fault(
            f"{name} {stage}{' on a shared Ray' if shared else ''}",
            holds, count, SECONDS[stage], partial(attempt, name=stage), shared,
        )
        for stage, count in times.items()
    ]  # fmt: skip


@contextmanager
def shared_ray(project: Project) -> Iterator[None]:
    """Let the stages of a project work on one Ray that is already running."""
    with cluster(project, 0, cpus=2) as (address, _):
        project.environment.update(RAY_ADDRESS=address, **WITHOUT_TOKEN)
        try:
            yield
        finally:
            project.environment.clear()


FAULTS: list[Fault] = [
    *of_stages(
        "kill -9 of", SAME, {"scans": 30, "extract": 30, "evaluate": 6, "screen": 12}, kills.stage
    ),
    *of_stages("kill -9 of", SAME, {"tune": 6, "train": 4}, kills.stage, shared=True),
    *of_stages("kill -9 of", SAME, {"tune": 2, "train": 2}, kills.stage),
    Fault("kill -9 of extract on its own Ray", SAME, 2, 40, kills.extract_on_ray),
    *of_stages("parameter changed in", ONE_LINE, dict.fromkeys(ALONE, 1), changes.changed),
    *of_stages(
        "parameter changed in", ONE_LINE, {"tune": 1, "train": 1}, changes.changed, shared=True
    ),
    *of_stages("disk full in the results of", ONE_LINE, dict.fromkeys(ALONE, 2), disks.full_folder),
    *of_stages(
        "disk full in the results of", ONE_LINE, {"train": 1}, disks.full_folder, shared=True
    ),
    *of_stages("read-only results of", ONE_LINE, dict.fromkeys(ALONE, 1), disks.read_only),
    *of_stages("read-only results of", ONE_LINE, {"tune": 1}, disks.read_only, shared=True),
    *of_stages(
        "SIGTERM or Ctrl-C to",
        "ends within 10 s, its runs KILLED; a rerun finds the same",
        dict.fromkeys(SECONDS, 2),
        kills.signals,
    ),
    *of_stages(
        "beside another user's Ray:",
        "the same result, no word of the other",
        {"tune": 1, "train": 1},
        partial(neighbours.beside, other_user=True),
    ),
    *of_stages(
        "beside another Ray of one's own:",
        "the same result, no word of the other",
        {"tune": 1, "train": 1},
        partial(neighbours.beside, other_user=False),
    ),
    Fault("kill -9 of a training worker", ON, 2, 60, kills.worker),
    *of_stages("kill -9 of a node in", ON, {"tune": 1, "train": 1}, kills.node),
    *of_stages("kill -9 of dvc repro", SAME, {"train": 3}, kills.dvc),
    *of_stages(
        "checkpoint cut short, or foreign, in",
        "it is named; resumed from the one before",
        {"tune": 2, "train": 2},
        storage.checkpoint,
    ),
    *of_stages(
        f"storage full for {storage.REFUSED_SECONDS} s in",
        "tried again, the same result",
        {"tune": 1, "train": 1},
        storage.full,
        shared=True,
    ),
    Fault("storage full for good in train", ONE_LINE, 1, 120, storage.full_for_good, shared=True),
    *(
        Fault(
            name,
            "training ends; `stages track` logs it later",
            1,
            120,
            partial(mlflow_server.attempt, faulty=faulty),
            shared=True,
        )
        for name, faulty in (
            ("MLflow's server killed in train", mlflow_server.killed_server),
            ("MLflow's server never answers", mlflow_server.silent_server),
            ("MLflow's disk full in train", mlflow_server.full_disk),
        )
    ),
    *of_stages(
        "two at once of",
        "the second waits and says for whom",
        {"tune": 1, "train": 1},
        storage.two_stages,
        shared=True,
    ),
    Fault("two dvc repro at once", "the second says who holds the lock", 1, 60, storage.two_dvc),
    Fault("two other sweeps on one store", "both go on, no run is lost", 1, 120, storage.sweeps),
]
