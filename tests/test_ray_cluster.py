"""How Ray is found or started, and what is said where it cannot be."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from pipeline.cluster import tasks
from pipeline.cluster.session import connect, start
from pipeline.common.errors import InputError
from tests.imports import ROOT

# As Ray 2.60 raises it in `ray._private.node.Node`.
NODE_TIMED_OUT = (
    "The current node timed out during startup. This could happen because some of the raylet "
    "failed to startup or the GCS has become overloaded."
)
SESSION = """
from pipeline.cluster.session import ray_session
from stages.entry import run_stage

def main():
    with ray_session():
        pass

run_stage(main)
"""


def timing_out(times: int) -> Callable[..., None]:
    """A `ray.init` that fails so many times as it does on a busy machine, and then starts."""
    left = iter([True] * times)

    def init(**_: object) -> None:
        if next(left, False):
            raise Exception(NODE_TIMED_OUT)

    return init


def run_session(**variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.run(
        [sys.executable, "-c", SESSION],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_node_that_times_out_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "init", timing_out(1))
    start(tmp_path)
    said = capsys.readouterr().err
    assert said == "Ray's node timed out during startup: starting Ray again\n"


def test_a_node_that_times_out_twice_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", timing_out(2))
    with pytest.raises(InputError, match=r"^Ray's node timed out during startup twice, expected"):
        start(tmp_path)


def test_other_errors_of_ray_are_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: object) -> None:
        tried.append(1)
        raise RuntimeError("ray.init called twice")

    tried: list[int] = []
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RuntimeError, match="called twice"):
        start(tmp_path)
    assert len(tried) == 1


def test_ray_is_not_asked_for_a_port_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ray, "init")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"^RAY_ADDRESS: got '{address}'"):
            connect(address)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:{port}"])
def test_a_cluster_that_is_not_there_is_one_line(address: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: nobody answers there
        asked = address.format(port=taken.getsockname()[1])
        found = run_session(RAY_ADDRESS=asked)
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert found.stderr.splitlines()[-1].startswith(
        f"error: RAY_ADDRESS: got {asked!r}, expected auto or the host:port of a running Ray"
    )


@pytest.mark.parametrize("hidden", [None, "out", "scan.png", "root"])
def test_calls_stay_on_this_node_if_another_lacks_a_file(
    hidden: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path / "root")
    out, scan = tmp_path / "out", tmp_path / "scan.png"
    pinned = list[str]()

    def options(scheduling_strategy: Any) -> Any:
        pinned.append(scheduling_strategy.node_id)

    for name in ("is_shared", "is_on_every_node"):
        monkeypatch.setattr(tasks, name, lambda path: path.name != hidden)
    context = SimpleNamespace(get_node_id=lambda: "0" * 56)
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    monkeypatch.setattr("ray.put", lambda content: content)
    monkeypatch.setattr(tasks, "_run", SimpleNamespace(options=options))
    assert list(tasks.run_tasks(len, [], 2, out, scan)) == []
    assert pinned == (["0" * 56] if hidden else [])
