"""A small project for faults, with methods that start, watch and kill its stages."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline.common.files import file_digest
from pipeline.sweeps.results import read_best

ROOT = Path(__file__).parents[2]
SECONDS = 900  # after which a stage is taken to hang
ONE_HOST = ("--node-ip-address=127.0.0.1", f"--object-store-memory={128 * 2**20}")
WITHOUT_TOKEN = {"RAY_AUTH_MODE": "disabled"}  # a node that joins would not find it
NODE_SECONDS = 180  # a node takes to start at most
UNSET = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "RAY_ADDRESS")
# Short, and the same again whatever its trials' timing: one trial at a time, in the order drawn.
CHANGES: dict[str, dict[str, Any]] = {
    "tune": {"trials": 2, "epochs": 2, "concurrent": 1},
    "train": {"epochs": 6, "lambda_adv": 1, "lambda_con": 40, "lambda_lat": 1, "latent_dim": 100},
}
NO_SWEEP = "no-sweep"  # what `tune` leaves where it has nothing to do
RESULTS = {"tune": Path("results/tune"), "train": Path("results/train")}


@dataclass
class Running:
    """A stage at work, with what it says in a file."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(errors="replace")

    def wait(self) -> int:
        """Wait for its end: its status; one that hangs is killed."""
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def wait_for(self, ready: Callable[[], Any]) -> bool:
        """Wait until `ready`; False where the process ends before, or nothing comes of it."""
        deadline = time.monotonic() + SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def started(self, name: str) -> list[psutil.Process]:
        """The processes under it whose command line has `name`."""
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in below if name in command_line(process)]

    def kill(self) -> None:
        """Kill -9 it, and all that is in its group, also where it is dead itself."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Project:
    """A checkout in `folder`, its patches cut; and what an undisturbed run of it leaves."""

    folder: Path
    found: dict[str, "Undisturbed"] = field(default_factory=dict)
    started: list[Running] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path) -> "Project":
        """Copy the checkout, make it small, and run it as far as its patches."""
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.split("\n")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        project = cls(folder)
        project.change("", preset="tiny")
        for block, values in CHANGES.items():
            project.change(block, **values)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        trials = CHANGES["tune"]["trials"]
        project.change("tune", trials=0)
        project.must("dvc", "repro", "tune")
        shutil.move(folder / RESULTS["tune"], folder / NO_SWEEP)
        project.change("tune", trials=trials)
        return project

    def change(self, block: str, **values: Any) -> None:
        """Set parameters of a block of params.yaml; of the file itself where it is ""."""
        params = self.folder / "params.yaml"
        content = yaml.safe_load(params.read_text())
        (content[block] if block else content).update(values)
        params.write_text(yaml.safe_dump(content, sort_keys=False))

    def clean(self, stage: str) -> None:
        """Back to where the stage can start from nothing."""
        for name in ("work", "results", "mlartifacts"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for path in self.folder.glob("mlflow*.db*"):
            path.unlink()
        if stage == "train":
            shutil.copytree(self.folder / NO_SWEEP, self.folder / RESULTS["tune"])

    def start(self, *command: str, **environment: str) -> Running:
        """Start a command in the project, in a process group of its own."""
        log = self.folder / f"log-{time.monotonic_ns()}.txt"
        inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
        inherited["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
        inherited["PYTHONPATH"] = str(self.folder)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**inherited, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started.append(Running(process, log))
        return self.started[-1]

    def kill_all(self) -> None:
        """Leave nothing running."""
        for running in self.started:
            running.kill()

    def stage(self, name: str, **environment: str) -> Running:
        """Start a stage without DVC."""
        return self.start(sys.executable, "-m", "stages", name, **environment)

    def must(self, *command: str, **environment: str) -> str:
        """Run a command to its good end; what it said.

        Raises:
            RuntimeError: it ended badly; with the end of what it said.
        """
        running = self.start(*command, **environment)
        if running.wait():
            raise RuntimeError(f"{' '.join(command)}: {running.said()[-3000:]}")
        return running.said()

    def result(self, stage: str) -> str:
        """What the stage found: the best settings and their value, or the model's SHA-256."""
        folder = self.folder / RESULTS[stage]
        if stage == "train":
            return file_digest(folder / "model.pt")
        best = read_best(folder)
        return f"{best.value} of {best.settings} in {best.trials} trials"

    def undisturbed(self, stage: str) -> "Undisturbed":
        """What the stage leaves when nothing happens, and its seconds; found once."""
        params = yaml.safe_load((self.folder / "params.yaml").read_text())
        asked = f"{stage} {params[stage]}"
        if asked not in self.found:
            self.clean(stage)
            started = time.monotonic()
            self.must(sys.executable, "-m", "stages", stage)
            seconds = time.monotonic() - started
            self.found[asked] = Undisturbed(stage, self.result(stage), seconds)
        return self.found[asked]

    def mlflow(self) -> MlflowClient:
        """A client of MLflow's database as it is now.

        Of a copy, since MLflow keeps files open that `clean` has removed.
        """
        copy = self.folder / f"mlflow-{time.monotonic_ns()}.db"
        shutil.copy(self.folder / "mlflow.db", copy)
        return MlflowClient(f"sqlite:///{copy}")

    def runs(self) -> list[Run]:
        """Every run of MLflow's database; none where there is no database yet."""
        if not (self.folder / "mlflow.db").exists():
            return []
        client = self.mlflow()
        experiment = client.get_experiment_by_name("skipscan")
        return list(client.search_runs([experiment.experiment_id])) if experiment else []

    def storage(self, stage: str) -> Path:
        """The folder of the stage's run in the storage, once there is one."""
        found = [path for path in self.folder.glob(f"work/ray/{stage}-*") if path.is_dir()]
        return found[0] if found else self.folder / "work/ray" / f"{stage}-none"

    def checkpoints(self, stage: str) -> list[Path]:
        """The checkpoint files in the storage, oldest first."""
        found = self.storage(stage).rglob("checkpoint.pt")
        return sorted(found, key=lambda path: path.stat().st_mtime)


@dataclass(frozen=True)
class Undisturbed:
    """What a stage leaves when nothing happens."""

    stage: str
    result: str
    seconds: float


def command_line(process: psutil.Process) -> str:
    """How a process was started; "" where it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def cluster(folder: Path, nodes: int) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """A Ray cluster on this machine: a head without CPUs, and nodes of 1 CPU; its address.

    Each node is kept to a core: a worker takes its share of those that its node could use.
    """
    cores = sorted(os.sched_getaffinity(0))
    port = 20000 + int(np.random.default_rng().integers(10000))
    options = [["--head", f"--port={port}", "--num-cpus=0"]]
    options += [[f"--address=127.0.0.1:{port}", "--num-cpus=1"]] * nodes
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, option in enumerate(options):
            with (folder / f"log-node-{number}.txt").open("wb") as log:
                core = cores[number % len(cores)]
                command = [] if number == 0 else ["taskset", "--cpu-list", str(core)]
                command += [str(Path(sys.executable).with_name("ray")), "start", "--block"]
                command += [*option, *ONE_HOST]
                environment = {**os.environ, **WITHOUT_TOKEN}
                started.append(
                    subprocess.Popen(
                        command, stdout=log, stderr=log, start_new_session=True, env=environment
                    )
                )
            deadline = time.monotonic() + NODE_SECONDS
            while "Ray runtime started" not in (folder / f"log-node-{number}.txt").read_text():
                if time.monotonic() > deadline:
                    raise RuntimeError(f"node {number} of the cluster did not start")
                time.sleep(0.2)
        yield f"127.0.0.1:{port}", started[1:]
    finally:
        for process in started:
            kill_node(process)


def kill_node(node: "subprocess.Popen[bytes]") -> None:
    """Kill -9 a node's raylet and all else that it is made of."""
    if node.poll() is None:
        for process in psutil.Process(node.pid).children(recursive=True):
            if "raylet" in command_line(process).split(" ", maxsplit=1)[0]:
                process.kill()
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
