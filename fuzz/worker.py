"""Tries inputs in a process of its own, which is started again when it dies."""

import multiprocessing
import os
import resource
import shutil
import tempfile
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from fuzz.target import Target
from pipeline.common.errors import InputError

MAX_SECONDS = 2.0  # of processor time for one input
MAX_SILENCE = 60.0  # seconds without an answer on a busy machine; then the process is killed
FIRST_SILENCE = 300.0  # the same while the process imports its modules
MEGABYTE = 2**20


class Outcome(NamedTuple):
    """The result of a reader on one input.

    Attributes:
        refused: whether it raised `InputError`.
        fault: the forbidden outcome, or None: another exception, too much time or memory, death.
    """

    refused: bool
    fault: str | None


class Worker:
    """A process with a target's reader; use it in a `with` block."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._spawn = multiprocessing.get_context("spawn")

    def __enter__(self) -> "Worker":
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self._end()

    def run(self, content: bytes) -> Outcome:
        """Give an input to the reader; whatever happens, the worker is ready for the next one."""
        self._pipe.send_bytes(content)
        if not self._pipe.poll(MAX_SILENCE):
            self._restart()
            return Outcome(refused=False, fault=f"no answer in {MAX_SILENCE:.0f} s")
        try:
            outcome: Outcome = self._pipe.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self._restart()
            return Outcome(refused=False, fault=f"the process died, exit code {code}")
        return outcome

    def _start(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="fuzz-")
        self._pipe, theirs = self._spawn.Pipe()
        arguments = (self._target, Path(self._folder), theirs)
        self._process = self._spawn.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(FIRST_SILENCE) or self._pipe.recv() != "ready":
            raise RuntimeError("the process of a fuzz target did not start")

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()
        shutil.rmtree(self._folder)

    def _restart(self) -> None:
        self._end()
        self._start()


def _serve(target: Target, folder: Path, pipe: Connection) -> None:
    """Read inputs from the pipe for ever, and answer with their outcomes."""
    outcome_of(target, target.valid()[0], folder / "in")  # imports all that it needs
    size = _status("VmSize")
    limit = (size + 2 * target.megabytes) * MEGABYTE  # so that the machine keeps its memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries warn of damaged files
    pipe.send("ready")
    while True:
        try:
            content = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send(outcome_of(target, content, folder / "in"))


def outcome_of(target: Target, content: bytes, folder: Path) -> Outcome:
    """Give an input to the reader in this process; `folder` is new, and removed at the end."""
    folder.mkdir()
    Path("/proc/self/clear_refs").write_text("5")  # the peak, VmHWM, starts anew
    before, started = _status("VmHWM"), time.process_time()
    refused, fault = False, None
    try:
        target.read(content, folder)
    except InputError as error:
        refused = True
        if "\n" in str(error):
            fault = "an error of several lines"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    seconds, memory = time.process_time() - started, _status("VmHWM") - before
    if seconds > MAX_SECONDS:
        fault = f"more than {MAX_SECONDS:.0f} s of processor time"
    elif memory > target.megabytes:
        fault = f"more than {target.megabytes} MB of memory"
    shutil.rmtree(folder)
    return Outcome(refused, fault)


def _status(name: str) -> int:
    """Return a figure about this process's memory, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) // 1024
    raise RuntimeError(f"no {name} in /proc/self/status")
