"""Faults of processes: kill -9 of a worker, a node or the driver; SIGTERM and Ctrl-C."""

import signal
import time
from collections.abc import Iterator

import numpy as np

from faults.outcome import Outcome
from faults.project import (
    WITHOUT_TOKEN,
    Project,
    Running,
    Undisturbed,
    cluster,
    kill_node,
)

GRACE_SECONDS = 10


def worker(project: Project, times: int, chance: np.random.Generator) -> Iterator[Outcome]:
    """Kill one of two training workers, some time after the first checkpoint."""
    outcome = Outcome("kill -9 of a training worker", "goes on, the same model bit for bit")
    expected = project.undisturbed("train")
    for _ in range(times):
        project.clean("train")
        running = project.stage("train")
        running.wait_for(lambda: project.checkpoints("train"))
        time.sleep(chance.uniform(0, 3))
        workers = running.started("ray::RayTrainWorker") or running.started("ray::_RayTrainWorker")
        if workers:
            outcome.tried += 1
            workers[int(chance.integers(len(workers)))].kill()
        check_end(outcome, project, running, expected)
    yield outcome


def driver(project: Project, times: int, chance: np.random.Generator) -> Iterator[Outcome]:
    """Kill `dvc repro` at any moment, all of it, or the stage or DVC alone; and run it again."""
    for stage, share in (("tune", times // 2), ("train", times - times // 2)):
        outcome = Outcome(f"kill -9 of the driver in {stage}", "a rerun finds the same")
        expected = project.undisturbed(stage)
        for number in range(2 * share):
            if outcome.tried == share:
                break
            project.clean(stage)
            running = project.start("dvc", "repro", "-f", "-s", stage)
            moment(project, running, stage, expected, chance)
            kill_driver(project, running, number, outcome)
            again = project.start("dvc", "repro", "-f", "-s", stage)
            check_end(outcome, project, again, expected)
            running.kill()
        yield outcome


def moment(
    project: Project,
    running: Running,
    stage: str,
    expected: Undisturbed,
    chance: np.random.Generator,
) -> None:
    """Wait for any moment, half of the times for one after the first checkpoint."""
    if chance.random() < 0.5:
        running.wait_for(lambda: project.checkpoints(stage))
        time.sleep(chance.uniform(0, 4))
    else:
        time.sleep(chance.uniform(5, expected.seconds))


def kill_driver(project: Project, running: Running, number: int, outcome: Outcome) -> None:
    """Kill all of `dvc repro`, or the stage under it alone, or DVC alone, in turn."""
    if running.process.poll() is not None:
        outcome.notes["had ended before"] += 1
        return
    outcome.tried += 1
    outcome.notes[f"with {len(project.checkpoints('t*'))} checkpoints"] += 1
    stages = running.started("-m stages ")
    if number % 3 == 1 and stages:
        for process in stages:
            process.kill()
        running.wait()
    elif number % 3 == 2:
        running.process.kill()
        running.wait()
    else:
        running.kill()


def node(project: Project, times: int, chance: np.random.Generator) -> Iterator[Outcome]:
    """Kill one of three nodes of 1 CPU in a sweep, and in training, at a random moment."""
    project.change("tune", sampler="random", scheduler="none", concurrent=2)
    for stage in ("tune", "train"):
        outcome = Outcome(
            f"kill -9 of a node's raylet in {stage}", "goes on on the others, the same result"
        )
        expected = project.undisturbed(stage)
        for _ in range(times):
            project.clean(stage)
            with cluster(project.folder, 3) as (address, nodes):
                running = project.stage(stage, RAY_ADDRESS=address, **WITHOUT_TOKEN)
                running.wait_for(lambda: project.checkpoints(stage))  # noqa: B023
                time.sleep(chance.uniform(0, 4))
                outcome.tried += running.process.poll() is None
                kill_node(nodes[int(chance.integers(len(nodes)))])
                check_end(outcome, project, running, expected)
        yield outcome
    project.change("tune", sampler="optuna", scheduler="asha", concurrent=1)


def signals(project: Project, times: int, chance: np.random.Generator) -> Iterator[Outcome]:
    """SIGTERM and Ctrl-C at any moment of a sweep, of training, and of extraction."""
    for stage in ("tune", "train"):
        outcome = Outcome(
            f"SIGTERM, Ctrl-C in {stage}",
            f"ends within {GRACE_SECONDS} s, runs KILLED, status says so, a rerun finds the same",
        )
        expected = project.undisturbed(stage)
        for number in range(times):
            project.clean(stage)
            which = (signal.SIGTERM, signal.SIGINT)[number % 2]
            running = project.stage(stage)
            time.sleep(chance.uniform(4, expected.seconds))
            send(outcome, project, running, which)
            check_end(outcome, project, project.stage(stage), expected)
        yield outcome


def send(outcome: Outcome, project: Project, running: Running, which: signal.Signals) -> None:
    """Send a signal, and look at how the stage ends."""
    if running.process.poll() is not None:
        outcome.notes["had ended before"] += 1
        return
    outcome.tried += 1
    sent = time.monotonic()
    running.process.send_signal(which)
    status = running.wait()
    seconds = time.monotonic() - sent
    outcome.notes["of them slower than 5 s"] += seconds > 5
    outcome.check(seconds < GRACE_SECONDS, f"took {seconds:.0f} s")
    outcome.check(status == 128 + which, f"ended with {status} on {which.name}")
    outcome.check("Traceback" not in running.said(), "with a traceback")
    open_runs = [run for run in project.runs() if run.info.status == "RUNNING"]
    outcome.check(not open_runs, "left runs open")


def check_end(outcome: Outcome, project: Project, running: Running, expected: Undisturbed) -> None:
    """Wait for a stage's good end, and compare what it left."""
    if outcome.check(running.wait() == 0, "ended badly"):
        found = project.result(expected.stage)
        if not outcome.check(found == expected.result, "with another result"):
            print(f"found {found}, where an undisturbed run finds {expected.result}")
    else:
        print(running.said()[-3000:])
