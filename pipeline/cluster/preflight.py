"""Checks before a job starts on Ray: room on the nodes, their versions, and shared folders."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import ray
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.common.errors import InputError
from pipeline.common.files import UNFINISHED

T = TypeVar("T")
RAY_UNITS = 10_000  # Ray counts resources in ten-thousandths
PACKAGES = ("h5py", "numpy", "torch")  # Ray itself compares the versions of Ray and Python


def require_capacity(parameter: str, count: int, each: Mapping[str, float]) -> None:
    """Refuse `count` workers if they could wait for ever for nodes with `each` worker's resources.

    Raises:
        InputError: idle nodes have room for fewer workers; the message says for how many.
    """
    _require_room(parameter, count, each, [node["Resources"] for node in _live_nodes()])


def runs_here() -> bool:
    """Return whether Ray's workers will run on this machine, and not on a cluster's nodes."""
    return os.environ.get("RAY_ADDRESS", "") in ("", "local")


def require_local_capacity(parameter: str, count: int, each: Mapping[str, float]) -> None:
    """Refuse workers for which this machine has no room, before Ray has started on it.

    Does nothing if `RAY_ADDRESS` names a cluster, which only a connection can ask.

    Raises:
        InputError: as `require_capacity`.
    """
    if runs_here():
        spec: Any = ResourceAndLabelSpec().resolve(is_head=True)
        here = spec.to_resource_dict()
        _require_room(parameter, count, each, [here])


def _require_room(
    parameter: str, count: int, each: Mapping[str, float], nodes: Sequence[Mapping[str, float]]
) -> None:
    room = sum(_fitting(node, each) for node in nodes)
    if room < count:
        asked = ", ".join(f"{amount:g} {name}" for name, amount in each.items() if amount)
        has = "; ".join(_describe(node, each) for node in nodes)
        where = "this machine has" if runs_here() else "the cluster's nodes have"
        raise InputError(
            f"{parameter}: got {count} workers of {asked} each, expected at most {room}: "
            f"{where} {has}"
        )


def require_same_versions(wanted: Mapping[str, str]) -> None:
    """Refuse a cluster on which a node's versions differ from `wanted`, the driver's versions.

    Raises:
        InputError: a version differs; the message names the node, the package and both versions.
    """
    for node in _live_nodes():
        there = _call_on_node(node["NodeID"], installed_versions)
        for name, here in wanted.items():
            if there[name] != here:
                raise InputError(
                    f"node {node['NodeManagerAddress']}: {name} {there[name]}, here {here}: "
                    "install requirements.lock on every node"
                )


def is_shared(folder: Path) -> bool:
    """Return whether every node sees the files that this machine has in `folder`.

    Also returns True if the folder is not writable; the code that writes there reports that.
    """
    marker = folder.resolve() / f".{uuid4().hex}{UNFINISHED}"
    try:
        marker.touch()
    except OSError:
        return True
    try:
        return is_on_every_node(marker)
    finally:
        marker.unlink()


def is_on_every_node(file: Path) -> bool:
    """Return whether every node has a file at this absolute path."""
    return all(_call_on_node(node["NodeID"], file.exists) for node in _live_nodes())


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of `PACKAGES`, "none" for a package that is missing."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _live_nodes() -> list[dict[str, Any]]:
    every: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in every if node["Alive"]]


def _call_on_node(node_id: str, function: Callable[[], T]) -> T:
    """Call a function on a node and return its result."""
    pinned = NodeAffinitySchedulingStrategy(node_id, soft=False)
    task: Any = ray.remote(num_cpus=0)(_call)
    return ray.get(task.options(scheduling_strategy=pinned).remote(function))


def _call(function: Callable[[], T]) -> T:
    return function()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _fitting(node: Mapping[str, float], each: Mapping[str, float]) -> int:
    """Return the number of workers that fit on an idle node."""
    return min(_times(name, node.get(name, 0.0), amount) for name, amount in each.items() if amount)


def _times(name: str, has: float, amount: float) -> int:
    """Return how often the amount fits; Ray takes a fraction of a GPU from one GPU alone."""
    if name == "GPU" and amount < 1:
        return int(has) * _times("", 1.0, amount)
    return round(has * RAY_UNITS) // round(amount * RAY_UNITS)


def _describe(node: Mapping[str, float], each: Mapping[str, float]) -> str:
    return ", ".join(f"{node.get(name, 0.0):g} {name}" for name, amount in each.items() if amount)
