"""Faults of the storage: refused writes, incomplete checkpoints, two processes on one storage."""

import threading
import time

import numpy as np

from faults.disks import fill, small_disk
from faults.kills import check_end, check_refused
from faults.outcome import Outcome
from faults.project import CHANGES, Project
from pipeline.models.tensor_files import load_tensors, save_tensors

REFUSED_SECONDS = 25


def full(project: Project, outcome: Outcome, chance: np.random.Generator, name: str) -> None:
    """Fill the storage's disk for half a minute, after the first checkpoint."""
    expected = project.undisturbed(name)
    project.clean(name)
    with small_disk(project.folder / "work") as disk:
        running = project.stage(name)
        running.wait_for(lambda: project.checkpoints(name))
        time.sleep(chance.uniform(0, 1))
        threading.Timer(REFUSED_SECONDS, fill(disk).close).start()
        check_end(outcome, project, running, expected)
        outcome.hit = "trying again in" in running.said() + running.logged(name)


def full_for_good(project: Project, outcome: Outcome, _chance: np.random.Generator) -> None:
    """Fill the storage's disk for good; with room again, a rerun of the stage resumes."""
    expected = project.undisturbed("train")
    project.clean("train")
    with small_disk(project.folder / "work") as disk:
        running = project.stage("train")
        outcome.hit = running.wait_for(lambda: project.checkpoints("train"))
        with fill(disk):
            check_refused(outcome, running, "could not be written")
        check_end(outcome, project, project.stage("train"), expected)


def checkpoint(project: Project, outcome: Outcome, chance: np.random.Generator, name: str) -> None:
    """Cut short the newest checkpoint of a killed stage, or replace it by a foreign one."""
    project.change("tune", epochs=6)
    expected = project.undisturbed(name)
    project.clean(name)
    foreign = outcome.number % 2 == 1
    if not spoil_newest(project, name, foreign, chance):
        return
    outcome.hit = True
    running = project.stage(name)
    check_end(outcome, project, running, expected)
    reason = "other settings or data" if foreign else "incomplete or foreign file of tensors"
    if reason not in running.said() + running.logged(name):
        # Tune resumes from its snapshot, which may be older than the newest checkpoint.
        outcome.check(name == "tune", "the checkpoint is not named")
        outcome.notes.append("not asked for")


def spoil_newest(project: Project, name: str, foreign: bool, chance: np.random.Generator) -> bool:
    """Kill a stage some time after its second checkpoint, and spoil the newest."""
    running = project.stage(name, TUNE_GLOBAL_CHECKPOINT_S="1")  # Tune's own is 10
    running.wait_for(lambda: len(project.checkpoints(name)) >= 2)
    time.sleep(chance.uniform(0, 1))
    if running.process.poll() is not None:
        return False
    running.process.kill()
    running.process.wait()  # as a shell does: a process that nobody waits for looks alive
    project.all_ended()  # workers outlive the stage, and may end an epoch meanwhile
    newest = project.checkpoints(name)[-1]
    if foreign:
        save_tensors(newest, {**load_tensors(newest), "key": "f" * 64})
    else:
        content = newest.read_bytes()
        newest.write_bytes(content[: int(chance.integers(len(content)))])
    return True


def two_stages(project: Project, outcome: Outcome, _chance: np.random.Generator, name: str) -> None:
    """Start a stage twice: both end well with the same result, in one MLflow run.

    Started in the same moment: a stage may end sooner than another starts.
    """
    expected = project.undisturbed(name)
    project.clean(name)
    both = [project.stage(name) for _ in range(2)]
    outcome.hit = True
    for running in both:
        running.wait()
    for running in both:
        check_end(outcome, project, running, expected)
    named = [f"process {one.process.pid} on " in two.said() for one, two in (both, both[::-1])]
    outcome.check(any(named), "did not say for whom it waits")
    names = [run.info.run_name for run in project.runs()]
    outcome.check(len(names) == len(set(names)), "logged twice")


def two_dvc(project: Project, outcome: Outcome, _chance: np.random.Generator) -> None:
    """Start `dvc repro` twice: the second ends with DVC's error about the first."""
    expected = project.undisturbed("train")
    project.clean("train")
    command = ("dvc", "repro", "-f", "-s", "train")
    first = project.start(*command)
    first.wait_for(lambda: first.started("-m stages "))
    second = project.start(*command)
    outcome.hit = True
    outcome.check(second.wait() != 0, "the second ran as well")
    outcome.check(f"(PID {first.process.pid})" in second.said(), "did not say who")
    check_end(outcome, project, first, expected)


def sweeps(project: Project, outcome: Outcome, _chance: np.random.Generator) -> None:
    """Start two sweeps of different settings at once, on one store and one MLflow database."""
    project.clean("tune")
    running = []
    for seed in (1, 2):
        project.change("tune", seed=seed)
        stage = project.stage("tune")
        stage.wait_for(lambda: stage.started("raylet"))  # noqa: B023  it has read its parameters
        running.append(stage)
    outcome.hit = True
    # Both end with a line, since the parameters changed again; their trials are what counts.
    for stage in running:
        stage.wait()
    outcome.check(running[1].process.returncode == 0, "the second ended badly")
    check_refused(outcome, running[0], "changed while the stage tune ran")
    trials = [run for run in project.runs() if run.info.run_name.startswith("trial-")]
    outcome.check(len(trials) == 2 * CHANGES["tune"]["trials"], "a run was lost")
    outcome.check(all(run.info.status == "FINISHED" for run in trials), "a run was left open")
