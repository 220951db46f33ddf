"""Faults of processes: kill -9 of a stage, a worker, a node or DVC; SIGTERM and Ctrl-C."""

import signal
import sys
import time

import numpy as np

from faults.outcome import Outcome
from faults.project import (
    RESULTS,
    WITHOUT_TOKEN,
    Project,
    Running,
    Undisturbed,
    cluster,
    kill_node,
)
from pipeline.patches.shard_file import Shard
from pipeline.tracking.tracker import KIND_TAG

GRACE_SECONDS = 10
EXTRACT_ON_RAY = """
import sys
import pipeline.patches.extraction
from stages.__main__ import main
pipeline.patches.extraction.WORTH_RAY_SECONDS = 0.0
sys.argv[1:] = ["extract"]
main()
"""


def stage(project: Project, outcome: Outcome, chance: np.random.Generator, name: str) -> None:
    """Kill -9 a stage at work, and nothing else: its children have to end by themselves."""
    expected = project.undisturbed(name)
    project.clean(name)
    killed_alone(project, outcome, project.stage(name), expected, chance)


def extract_on_ray(project: Project, outcome: Outcome, chance: np.random.Generator) -> None:
    """Kill -9 an extraction that cuts all shards but the first on Ray."""
    expected = project.undisturbed("extract")
    project.clean("extract")
    running = project.start(sys.executable, "-c", EXTRACT_ON_RAY)
    running.wait_for(lambda: len(list(project.folder.glob("data/patches/*.h5"))) > 1)
    killed_alone(project, outcome, running, expected, chance)


def killed_alone(
    project: Project,
    outcome: Outcome,
    running: Running,
    expected: Undisturbed,
    chance: np.random.Generator,
) -> None:
    """Kill a stage at work, and run it again."""
    if at_work(project, running, expected, chance):
        outcome.hit = True
        running.process.kill()
        running.process.wait()
        outcome.check(project.all_ended(), "left a process")
        outcome.check(shards_are_whole(project), "left half a shard")
        check_end(outcome, project, project.stage(expected.stage), expected)


def at_work(
    project: Project, running: Running, expected: Undisturbed, chance: np.random.Generator
) -> bool:
    """Wait for a moment within the stage's work; False if the stage has ended before.

    Then the machine is faster than it was in the undisturbed run, which is noted.
    """
    if not running.wait_for(lambda: project.begun(expected.stage)):
        return False
    begun, after = time.monotonic(), chance.uniform(0, expected.work)
    while (passed := time.monotonic() - begun) < after:
        if running.done():
            project.note_work(expected, passed)
            return False
        time.sleep(0.01)
    return not running.done()


def shards_are_whole(project: Project) -> bool:
    """Return whether every file with a shard's name is a complete shard."""
    try:
        for path in (project.folder / RESULTS["extract"]).glob("*.h5"):
            Shard(path).verify()
    except ValueError:
        return False
    return True


def worker(project: Project, outcome: Outcome, chance: np.random.Generator) -> None:
    """Kill one of two training workers, some time after the first checkpoint."""
    expected = project.undisturbed("train")
    project.clean("train")
    running = project.stage("train")
    running.wait_for(lambda: project.checkpoints("train"))
    time.sleep(chance.uniform(0, 1))
    workers = running.started("ray::RayTrainWorker") or running.started("ray::_RayTrainWorker")
    if workers:
        outcome.hit = True
        workers[int(chance.integers(len(workers)))].kill()
        check_end(outcome, project, running, expected)


def dvc(project: Project, outcome: Outcome, chance: np.random.Generator, name: str) -> None:
    """Kill all of `dvc repro`, or the stage under it alone, or DVC alone, in turn."""
    expected = project.undisturbed(name)
    project.clean(name)
    command = ("dvc", "repro", "-f", "-s", name)
    running = project.start(*command)
    if not at_work(project, running, expected, chance):
        return
    outcome.hit = True
    stages = running.started("-m stages ")
    if outcome.number % 3 == 1 and stages:
        for process in stages:
            process.kill()
        running.wait()
    elif outcome.number % 3 == 2:
        running.process.kill()
        running.wait()
    else:
        running.kill()
    check_end(outcome, project, project.start(*command), expected)


def node(project: Project, outcome: Outcome, chance: np.random.Generator, name: str) -> None:
    """Kill one of three nodes of 1 CPU in a sweep, or in training, at a random moment."""
    project.change("tune", sampler="random", scheduler="none", concurrent=2)
    expected = project.undisturbed(name)
    project.clean(name)
    with cluster(project, 3) as (address, nodes):
        running = project.stage(name, RAY_ADDRESS=address, **WITHOUT_TOKEN)
        running.wait_for(lambda: project.checkpoints(name))
        time.sleep(chance.uniform(0, 2))
        if running.process.poll() is None:
            outcome.hit = True
            kill_node(nodes[int(chance.integers(len(nodes)))])
            check_end(outcome, project, running, expected)


def start_to_work(
    project: Project, outcome: Outcome, chance: np.random.Generator, name: str
) -> Running | None:
    """Start a stage, and wait for a moment within its work; None if the stage has ended before."""
    expected = project.undisturbed(name)
    project.clean(name)
    running = project.stage(name)
    outcome.hit = at_work(project, running, expected, chance)
    return running if outcome.hit else None


def signals(project: Project, outcome: Outcome, chance: np.random.Generator, name: str) -> None:
    """Send SIGTERM or Ctrl-C, in turn, to a stage at work."""
    running = start_to_work(project, outcome, chance, name)
    if running is None:
        return
    send(outcome, project, running, (signal.SIGTERM, signal.SIGINT)[outcome.number % 2])
    check_end(outcome, project, project.stage(name), project.undisturbed(name))


def send(outcome: Outcome, project: Project, running: Running, which: signal.Signals) -> None:
    """Send a signal, and look at how the stage ends."""
    sent = time.monotonic()
    running.process.send_signal(which)
    status = running.wait()
    seconds = time.monotonic() - sent
    if seconds > GRACE_SECONDS / 2:
        outcome.notes.append("slower than 5 s")
    outcome.check(seconds < GRACE_SECONDS, f"took {seconds:.0f} s")
    outcome.check(status == 128 + which, f"ended with {status} on {which.name}")
    outcome.check("Traceback" not in running.said(), "with a traceback")
    outcome.check(project.all_ended(), "left a process")
    open_runs = [run for run in project.runs() if run.info.status == "RUNNING"]
    outcome.check(not open_runs, "left runs open")


def check_end(outcome: Outcome, project: Project, running: Running, expected: Undisturbed) -> None:
    """Wait for a stage's good end, and compare its results."""
    if not outcome.check(running.wait() == 0, "a rerun ended badly"):
        return
    found = project.result(expected.stage)
    same = found == expected.result
    outcome.check(same, f"found {found}, an undisturbed run finds {expected.result}")
    outcome.check("Traceback" not in running.said(), "a good run with a traceback")
    outcome.check(project.all_ended(), "a good run left a process")
    unfinished = project.unfinished_files()
    outcome.check(not unfinished, f"left {len(unfinished)} files: {' '.join(unfinished[:3])}")
    if expected.stage == "evaluate":
        runs = [run for run in project.runs() if run.data.tags.get(KIND_TAG) == "pipeline"]
        kinds = [run.info.status for run in runs]
        outcome.check(kinds == ["FINISHED"], f"MLflow has runs {kinds}")


def check_refused(outcome: Outcome, running: Running, reason: str) -> None:
    """Wait for the end of a stage that cannot go on: status 1 and one line that says why."""
    outcome.check(running.wait() == 1, f"ended with {running.process.returncode}, not with 1")
    errors = [line for line in running.said().splitlines() if line.startswith("error: ")]
    clear = len(errors) == 1 and reason in errors[0] and "a fault of SkipScan" not in errors[0]
    outcome.check(clear, f"not one clear line, with {reason!r}: {errors}")
    outcome.check("Traceback" not in running.said(), "with a traceback")
