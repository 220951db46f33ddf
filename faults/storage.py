"""Faults of the storage: refused writes, incomplete checkpoints, two processes on one storage."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from faults.kills import check_end
from faults.outcome import Outcome
from faults.project import CHANGES, SECONDS, Project, Undisturbed
from pipeline.models.tensor_files import load_tensors, save_tensors

REFUSED_SECONDS = 25
MEGABYTES = 64


def full(project: Project, times: int, chance: np.random.Generator) -> Iterator[Outcome]:
    """The storage's disk is full for half a minute, from after the first checkpoint on."""
    for stage in ("tune", "train"):
        outcome = Outcome(
            f"storage full for {REFUSED_SECONDS} s in {stage}", "tried again, the same result"
        )
        expected = project.undisturbed(stage)
        for _ in range(times):
            project.clean(stage)
            with small_disk(project.folder / "work") as disk:
                running = project.stage(stage)
                running.wait_for(lambda: project.checkpoints(stage))  # noqa: B023
                time.sleep(chance.uniform(0, 1))
                outcome.tried += running.process.poll() is None
                fill(disk)
                threading.Timer(REFUSED_SECONDS, (disk / "filler").unlink).start()
                check_end(outcome, project, running, expected)
                if "trying again in" not in running.said():
                    outcome.notes["were not writing then"] += 1
        yield outcome


def full_for_good(project: Project, times: int, _chance: np.random.Generator) -> Iterator[Outcome]:
    """The storage's disk stays full; when there is room again, the stage goes on."""
    outcome = Outcome("storage full for good in train", "one line says so; a rerun finds the same")
    expected = project.undisturbed("train")
    for _ in range(times):
        project.clean("train")
        with small_disk(project.folder / "work") as disk:
            running = project.stage("train")
            running.wait_for(lambda: project.checkpoints("train"))
            outcome.tried += 1
            fill(disk)
            outcome.check(running.wait() == 1, "did not end with 1")
            errors = [line for line in running.said().splitlines() if line.startswith("error: ")]
            clear = len(errors) == 1 and "could not be written" in errors[0]
            if not outcome.check(clear, "without a clear error"):
                print(running.said()[-3000:])
            (disk / "filler").unlink()
            check_end(outcome, project, project.stage("train"), expected)
    yield outcome


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own at `folder`, in memory; only root may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={MEGABYTES}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave no byte free."""
    try:
        with (disk / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(2**16)):
                pass
    except OSError:
        return


def checkpoint(project: Project, times: int, chance: np.random.Generator) -> Iterator[Outcome]:
    """The newest checkpoint of a killed stage is cut short, or one of other settings."""
    project.change("tune", epochs=6)
    for stage in ("tune", "train"):
        outcome = Outcome(
            f"checkpoint cut short, or foreign, in {stage}", "named, the one before is gone on from"
        )
        expected = project.undisturbed(stage)
        for number in range(times):
            project.clean(stage)
            foreign = number % 2 == 1
            spoil_newest(outcome, project, stage, foreign, chance)
            running = project.stage(stage)
            check_end(outcome, project, running, expected)
            reason = "other settings or data" if foreign else "not a whole checkpoint of ours"
            if reason not in running.said():
                # Tune goes on from its snapshot, which may not know of the newest yet.
                if not outcome.check(stage == "tune", "not named"):
                    print(running.said()[-3000:])
                outcome.notes["not asked for"] += 1
        yield outcome
    project.change("tune", epochs=CHANGES["tune"]["epochs"])


def spoil_newest(
    outcome: Outcome, project: Project, stage: str, foreign: bool, chance: np.random.Generator
) -> None:
    """Kill a stage some time after its second checkpoint, and spoil the newest."""
    running = project.stage(stage, TUNE_GLOBAL_CHECKPOINT_S="1")  # Tune's own is 10
    running.wait_for(lambda: len(project.checkpoints(stage)) >= 2)
    time.sleep(chance.uniform(1, 2))
    workers = running.started("ray::")
    running.kill()
    psutil.wait_procs(workers, SECONDS)  # they outlive the stage, and may end an epoch meanwhile
    newest = project.checkpoints(stage)[-1]
    outcome.tried += 1
    if foreign:
        save_tensors(newest, {**load_tensors(newest), "key": "f" * 64})
        return
    content = newest.read_bytes()
    newest.write_bytes(content[: int(chance.integers(len(content)))])


def locks(project: Project, times: int, _chance: np.random.Generator) -> Iterator[Outcome]:
    """Two of a stage at once, by themselves and by DVC."""
    alone = Outcome("two of a sweep, of a training at once", "the second waits and says for whom")
    by_dvc = Outcome("two dvc repro at once", "the second says who holds the lock")
    for stage in ("tune", "train"):
        expected = project.undisturbed(stage)
        for _ in range(times):
            two_stages(alone, project, expected)
            two_dvc(by_dvc, project, expected)
    yield from (alone, by_dvc)


def two_stages(outcome: Outcome, project: Project, expected: Undisturbed) -> None:
    """Both have to end well, with the same, in one MLflow run.

    Started in the same moment: a stage may end sooner than another starts.
    """
    project.clean(expected.stage)
    both = [project.stage(expected.stage) for _ in range(2)]
    outcome.tried += 1
    for running in both:
        check_end(outcome, project, running, expected)
    named = [f"process {one.process.pid} on " in two.said() for one, two in (both, both[::-1])]
    outcome.check(any(named), "did not say for whom it waits")
    names = [run.info.run_name for run in project.runs()]
    outcome.check(len(names) == len(set(names)), "logged twice")


def two_dvc(outcome: Outcome, project: Project, expected: Undisturbed) -> None:
    """The second ends with what DVC says of the first."""
    project.clean(expected.stage)
    command = ("dvc", "repro", "-f", "-s", expected.stage)
    first = project.start(*command)
    first.wait_for(lambda: first.started("-m stages "))
    second = project.start(*command)
    outcome.tried += 1
    outcome.check(second.wait() != 0, "the second ran as well")
    outcome.check(f"(PID {first.process.pid})" in second.said(), "did not say who")
    check_end(outcome, project, first, expected)


def sweeps(project: Project, times: int, _chance: np.random.Generator) -> Iterator[Outcome]:
    """Two sweeps of other settings, at once on one store and one MLflow database."""
    outcome = Outcome("two other sweeps on one store at once", "both end, no run is lost")
    for _ in range(times):
        project.clean("tune")
        running = []
        for seed in (1, 2):
            project.change("tune", seed=seed)
            stage = project.stage("tune")
            stage.wait_for(lambda: stage.started("raylet"))  # noqa: B023  it has read its parameters
            running.append(stage)
        outcome.tried += 1
        for stage in running:
            if not outcome.check(stage.wait() == 0, "ended badly"):
                print(stage.said()[-3000:])
        trials = [run for run in project.runs() if run.info.run_name.startswith("trial-")]
        outcome.check(len(trials) == 2 * CHANGES["tune"]["trials"], "a run was lost")
        outcome.check(all(run.info.status == "FINISHED" for run in trials), "a run was left open")
    project.change("tune", seed=0)
    yield outcome
