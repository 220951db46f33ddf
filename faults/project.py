"""A small project for faults, with methods that start, watch and kill its stages."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline.common.files import digest, file_digest, write_json
from pipeline.screening.folder_screener import PAGE
from pipeline.screening.records import RECORDS, TABLE, Records
from pipeline.sweeps.results import read_best
from stages.__main__ import STAGES

ROOT = Path(__file__).parents[1]
SECONDS = 900  # after which a stage is taken to hang
ONE_HOST = ("--node-ip-address=127.0.0.1", f"--object-store-memory={128 * 2**20}")
WITHOUT_TOKEN = {"RAY_AUTH_MODE": "disabled"}  # a node that joins would not find it
NODE_SECONDS = 180  # a node takes to start at most
UNSET = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "RAY_ADDRESS")
GONE_SECONDS = 60  # in which the processes of a killed stage end
# Short, and the same again whatever its trials' timing: one trial at a time, in the order drawn.
CHANGES: dict[str, dict[str, Any]] = {
    "extract": {"shard_scans": 1},
    "tune": {"trials": 2, "epochs": 2, "concurrent": 1},
    "train": {"epochs": 6, "lambda_adv": 1, "lambda_con": 40, "lambda_lat": 1, "latent_dim": 100},
    "evaluate": {"bootstrap": 200, "tsne_points": 200},
    "screen": {"folder": "data/scans"},
}
RESULTS = {
    "scans": Path("data/scans"),
    "extract": Path("data/patches"),
    **{stage: Path("results") / stage for stage in ("tune", "train", "evaluate", "screen")},
}
STATE: tuple[Path | str, ...] = (
    *RESULTS.values(),
    "mlflow.db",
    "mlartifacts",
)  # what stages leave, but for `storage`
BEGUN = {  # files that show that a stage is at work
    "scans": "data/scans/*/*.png",
    "extract": "data/patches/*.h5",
    "tune": "work/ray/tune-*/*/",
    "train": "work/ray/train-*/**/checkpoint.pt",
    "evaluate": "results/evaluate/*",
    "screen": "results/screen/bags.jsonl",
}


@dataclass
class Running:
    """A stage at work, with its output in a file."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """Return all lines that the stage has printed so far."""
        return self.log.read_text(errors="replace")

    def logged(self, stage: str) -> str:
        """Return the output of libraries and workers, which a stage keeps from the terminal."""
        log = self.log.parent / "logs" / f"{stage}.txt"
        return log.read_text(errors="replace") if log.exists() else ""

    def done(self) -> bool:
        """Return whether the stage has ended, or has said that it is done."""
        return self.process.poll() is not None or ": done in " in self.said()

    def wait(self) -> int:
        """Wait for the end of the stage and return its status; a stage that hangs is killed."""
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def wait_for(self, ready: Callable[[], Any]) -> bool:
        """Wait until `ready`; return False if the process ends before, or time runs out."""
        deadline = time.monotonic() + SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def started(self, name: str) -> list[psutil.Process]:
        """Return the processes below the stage whose command line has `name`."""
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in below if name in command_line(process)]

    def kill(self) -> None:
        """Kill -9 the stage and all of its process group, even if the stage has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Project:
    """A checkout in `folder`, its stages run once; and what an undisturbed run of a stage leaves.

    `kept`, beside `folder`, has a copy of the project's state before each stage. `temporary` has
    the temporary files of all processes; its path is short, since Ray makes sockets there.
    """

    folder: Path
    temporary: Path
    started: list[Running] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> "Project":
        """Copy the checkout, make it small, and run each stage; unless this was done before."""
        name = digest(str(folder.resolve()))[:5]
        project = cls(folder, Path(f"/tmp/f{name}"))  # noqa: S108  root's alone, by mode
        project.kill_strays(project.temporary)  # also of a campaign that was killed
        shutil.rmtree(project.temporary, ignore_errors=True)
        project.temporary.mkdir(mode=0o700)
        if not project.undisturbed_file.exists():
            project.copy_checkout()
            project.run_stages()
        project.set_params()
        return project

    def copy_checkout(self) -> None:
        """Copy the files of this checkout that git knows or would add."""
        for folder in (self.folder, self.kept):
            shutil.rmtree(folder, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.split("\n")):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        subprocess.run(["git", "init", "-q"], cwd=self.folder, check=True)

    def run_stages(self) -> None:
        """Run each stage, and keep the project's state before it; `tune` without a sweep."""
        self.set_params()
        self.remove_state()
        found: dict[str, Undisturbed] = {}
        for stage in STAGES:
            copy_state(self.folder, self.kept / stage)
            if stage == "tune":
                self.change("tune", trials=0)
                self.must(sys.executable, "-m", "stages", stage)
                self.set_params()
            else:
                found[self.key_of(stage)] = self.run_undisturbed(stage)
        self.write_undisturbed(found)

    def set_params(self) -> None:
        """Set the parameters of params.yaml, which a killed campaign may have left changed."""
        shutil.copy(ROOT / "params.yaml", self.folder)
        self.change("", preset="tiny")
        for block, values in CHANGES.items():
            self.change(block, **values)

    def change(self, block: str, **values: Any) -> None:
        """Set parameters of a block of params.yaml; of the file itself where it is ""."""
        content = self.params()
        (content[block] if block else content).update(values)
        (self.folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def params(self) -> dict[str, Any]:
        """Read params.yaml."""
        content: dict[str, Any] = yaml.safe_load((self.folder / "params.yaml").read_text())
        return content

    @property
    def kept(self) -> Path:
        """Return the folder of copies of the project's state, one before each stage."""
        return self.folder.with_name("kept")

    @property
    def stages_temporary(self) -> Path:
        """Return the folder of temporary files of the stages alone."""
        return self.temporary / "s"

    @property
    def undisturbed_file(self) -> Path:
        """Return the path of the results of undisturbed runs."""
        return self.folder.with_name("undisturbed.json")

    def clean(self, stage: str) -> None:
        """Restore the state from which the stage starts."""
        self.remove_state()
        copy_state(self.kept / stage, self.folder)

    def remove_state(self) -> None:
        """Remove the results and temporary files of all stages."""
        for name in ("work", "logs", *STATE):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for pattern in ("mlflow*.db*", "log-*.txt"):
            for path in self.folder.glob(pattern):
                path.unlink()
        shutil.rmtree(self.stages_temporary, ignore_errors=True)
        self.stages_temporary.mkdir()

    def start(self, *command: str, **environment: str) -> Running:
        """Start a command in the project, in a process group of its own."""
        log = self.folder / f"log-{time.monotonic_ns()}.txt"
        inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
        inherited["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
        inherited["PYTHONPATH"] = str(self.folder)
        inherited["TMPDIR"] = str(self.stages_temporary)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**inherited, **self.environment, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started.append(Running(process, log))
        return self.started[-1]

    def end_stages(self) -> None:
        """Kill all running stages; a Ray that they share keeps running."""
        for running in self.started:
            running.kill()
        self.started.clear()
        self.kill_strays(self.stages_temporary)

    def close(self) -> None:
        """Kill all processes of the project, and remove their temporary files."""
        self.end_stages()
        self.kill_strays(self.temporary)
        shutil.rmtree(self.temporary, ignore_errors=True)

    def kill_strays(self, temporary: Path) -> None:
        """Kill all processes with temporary files in this folder; unmount the campaign's disks."""
        for process in strays(temporary):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for disk in psutil.disk_partitions(all=True):
            if Path(disk.mountpoint).is_relative_to(self.folder.resolve()):
                subprocess.run(["umount", "--lazy", disk.mountpoint], check=True)

    def all_ended(self) -> bool:
        """Return whether all processes of stages end within `GONE_SECONDS`."""
        deadline = time.monotonic() + GONE_SECONDS
        while strays(self.stages_temporary):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.3)
        return True

    def unfinished_files(self) -> list[str]:
        """Return the temporary files that stages have left, in the project and elsewhere.

        Without the lock and the token of Ray's private folder, and Ray's own locks, which stay.
        """
        own = [
            path.relative_to(self.folder)
            for path in self.folder.rglob("*.tmp")
            if ".git" not in path.parts
        ]
        temporary = [
            path.relative_to(self.stages_temporary)
            for path in self.stages_temporary.rglob("*")
            if not (path.parent.name.startswith("skipscan-") and path.name in {".lock", "token"})
            and path.parent.name != "_ray_lockfiles"
            and path.is_file()
        ]
        return [str(path) for path in (*own, *temporary)]

    def stage(self, name: str, **environment: str) -> Running:
        """Start a stage without DVC."""
        return self.start(sys.executable, "-m", "stages", name, **environment)

    def must(self, *command: str, **environment: str) -> str:
        """Run a command to its good end; return its output.

        Raises:
            RuntimeError: it ended badly; with the end of its output.
        """
        running = self.start(*command, **environment)
        if running.wait():
            raise RuntimeError(f"{' '.join(command)}: {running.said()[-3000:]}")
        return running.said()

    def result(self, stage: str) -> str:
        """Return a stage's result: the best settings and their value, or a digest of its files.

        The files of `tune` name runs of MLflow, which differ, and those of `train` the seconds of
        each epoch; so of `train` it is the model's digest. Of `screen`, the records and pictures
        without the seconds, which are in the table and on the page too.
        """
        folder = self.folder / RESULTS[stage]
        if stage == "train":
            return file_digest(folder / "model.pt")
        if stage == "tune":
            best = read_best(folder)
            return f"{best.value} of {best.settings} in {best.trials} trials"
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        found = {str(path.relative_to(folder)): file_digest(path) for path in files}
        if stage == "screen":
            records = [asdict(replace(file, seconds=0.0)) for file in Records(folder)]
            found.update({RECORDS: digest(records), TABLE: "", PAGE: ""})
        return digest(found)

    def begun(self, stage: str) -> bool:
        """Return whether the first file of the stage's work is there."""
        return next(self.folder.glob(BEGUN[stage]), None) is not None

    def undisturbed(self, stage: str) -> "Undisturbed":
        """Return the result and the seconds of a run without a fault, which is made once."""
        found = self.read_undisturbed()
        if self.key_of(stage) not in found:
            self.clean(stage)
            found[self.key_of(stage)] = self.run_undisturbed(stage)
            self.write_undisturbed(found)
        return found[self.key_of(stage)]

    def key_of(self, stage: str) -> str:
        """Return the stage and its parameters: the key of its undisturbed run."""
        return f"{stage} {self.params()[stage]}"

    def note_work(self, expected: "Undisturbed", work: float) -> None:
        """Note that the stage's work takes so many seconds."""
        found = self.read_undisturbed()
        found[self.key_of(expected.stage)] = replace(expected, work=work)
        self.write_undisturbed(found)

    def run_undisturbed(self, stage: str) -> "Undisturbed":
        """Run the stage, and note when its work began and ended."""
        started = time.monotonic()
        running = self.stage(stage)
        running.wait_for(lambda: self.begun(stage))
        begun = time.monotonic()
        if running.wait():
            raise RuntimeError(f"{stage}: {running.said()[-3000:]}")
        ended = time.monotonic()
        return Undisturbed(stage, self.result(stage), ended - started, ended - begun)

    def read_undisturbed(self) -> dict[str, "Undisturbed"]:
        """Return the results of the runs without a fault, by their parameters."""
        content = json.loads(self.undisturbed_file.read_text())
        return {key: Undisturbed(**values) for key, values in content.items()}

    def write_undisturbed(self, results: dict[str, "Undisturbed"]) -> None:
        """Write the results of the runs without a fault."""
        content = {key: asdict(values) for key, values in results.items()}
        write_json(self.undisturbed_file, content)

    def mlflow(self) -> MlflowClient:
        """Return a client of MLflow's database as it is now.

        Of a copy, since MLflow keeps files open that `clean` has removed.
        """
        copy = self.folder / f"mlflow-{time.monotonic_ns()}.db"
        shutil.copy(self.folder / "mlflow.db", copy)
        return MlflowClient(f"sqlite:///{copy}")

    def runs(self) -> list[Run]:
        """Return every run of MLflow's database; none if there is no database yet."""
        if not (self.folder / "mlflow.db").exists():
            return []
        client = self.mlflow()
        experiment = client.get_experiment_by_name("skipscan")
        return list(client.search_runs([experiment.experiment_id])) if experiment else []

    def storage(self, stage: str) -> Path:
        """Return the folder of the stage's run in the storage, once there is one."""
        found = [path for path in self.folder.glob(f"work/ray/{stage}-*") if path.is_dir()]
        return found[0] if found else self.folder / "work/ray" / f"{stage}-none"

    def checkpoints(self, stage: str) -> list[Path]:
        """Return the checkpoint files in the storage, oldest first."""
        found = self.storage(stage).rglob("checkpoint.pt")
        return sorted(found, key=lambda path: path.stat().st_mtime)


@dataclass(frozen=True)
class Undisturbed:
    """The result of a run without a fault; its seconds in all, and since its work began."""

    stage: str
    result: str
    seconds: float
    work: float


def copy_state(source: Path, target: Path) -> None:
    """Copy the results of stages from one folder to another."""
    for name in STATE:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
        elif (source / name).exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)


def strays(temporary: Path) -> list[psutil.Process]:
    """Return the live processes whose temporary files are in a folder, whatever their parent.

    The folder is in their environment, in their command line or is their own: Ray's workers
    overwrite the first two.
    """
    return [process for process in psutil.process_iter() if names_folder(process, temporary)]


def names_folder(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process names the folder in its environment, command or working folder."""
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            known = [process.environ().get("TMPDIR", ""), *process.cmdline(), process.cwd()]
    except psutil.Error:
        return False
    return any(str(folder) in text for text in known)


def command_line(process: psutil.Process) -> str:
    """Return the command line of a process; "" if the process has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def cluster(
    project: Project, nodes: int, cpus: int = 0
) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """Start a Ray cluster here: a head with `cpus`, and nodes of 1 CPU; yield address and nodes.

    Each node is kept to a core: a worker takes its share of those that its node could use.
    """
    cores = sorted(os.sched_getaffinity(0))
    port = 20000 + int(np.random.default_rng().integers(10000))
    temporary = project.temporary / "c"
    temporary.mkdir(exist_ok=True)
    options = [["--head", f"--port={port}", f"--num-cpus={cpus}", f"--temp-dir={temporary}"]]
    options += [[f"--address=127.0.0.1:{port}", "--num-cpus=1"]] * nodes
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, option in enumerate(options):
            log = project.folder.with_name(f"node-{number}.txt")
            core = cores[number % len(cores)]
            command = [] if number == 0 else ["taskset", "--cpu-list", str(core)]
            command += [str(Path(sys.executable).with_name("ray")), "start", "--block"]
            started.append(start_node([*command, *option, *ONE_HOST], log, temporary))
        yield f"127.0.0.1:{port}", started[1:]
    finally:
        for process in started:
            kill_node(process)


def start_node(command: list[str], log: Path, temporary: Path) -> "subprocess.Popen[bytes]":
    """Start a node of a Ray cluster, and wait until it is up.

    Raises:
        RuntimeError: it is not within `NODE_SECONDS`.
    """
    environment = {**os.environ, **WITHOUT_TOKEN, "TMPDIR": str(temporary)}
    with log.open("wb") as output:
        node = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, env=environment
        )
    deadline = time.monotonic() + NODE_SECONDS
    while "Ray runtime started" not in log.read_text(errors="replace"):
        if time.monotonic() > deadline or node.poll() is not None:
            kill_node(node)
            raise RuntimeError(f"a node of Ray did not start: {log.read_text()[-3000:]}")
        time.sleep(0.2)
    return node


def kill_node(node: "subprocess.Popen[bytes]") -> None:
    """Kill -9 a node's raylet and all of its process group."""
    if node.poll() is None:
        for process in psutil.Process(node.pid).children(recursive=True):
            if "raylet" in command_line(process).split(" ", maxsplit=1)[0]:
                process.kill()
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
