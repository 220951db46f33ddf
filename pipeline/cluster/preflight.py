"""What is found out before a job starts on Ray: that it can be placed, and who runs what."""

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.common.errors import InputError
from pipeline.common.files import UNFINISHED

T = TypeVar("T")

PACKAGES = ("h5py", "numpy", "torch")  # beside Ray and Python, which Ray compares itself


def require_capacity(parameter: str, count: int, each: Mapping[str, float]) -> None:
    """Refuse what could wait for ever: `count` workers, each on one node with `each` to spare.

    Raises:
        InputError: the nodes, if idle, have room for less; the message says for how many.
    """
    nodes = [node["Resources"] for node in _live_nodes()]
    room = sum(_fitting(node, each) for node in nodes)
    if room < count:
        asked = ", ".join(f"{amount:g} {name}" for name, amount in each.items() if amount)
        has = "; ".join(_describe(node, each) for node in nodes)
        raise InputError(
            f"{parameter}: got {count}, each of {asked}, expected {room} at most: "
            f"the cluster's nodes have {has}"
        )


def require_same_versions(wanted: Mapping[str, str]) -> None:
    """Refuse a cluster on which a node's versions differ from `wanted`, the driver's.

    Raises:
        InputError: some do; the message names the first node, the package and both versions.
    """
    for node in _live_nodes():
        there = _ask(node["NodeID"], installed_versions)
        for name, here in wanted.items():
            if there[name] != here:
                raise InputError(
                    f"node {node['NodeManagerAddress']}: {name} {there[name]}, here {here}: "
                    "install requirements.lock on every node"
                )


def is_shared(folder: Path) -> bool:
    """Whether every node sees what is in `folder` here.

    True as well of a folder that cannot be written, which is for whoever writes there to say.
    """
    marker = folder.resolve() / f".{uuid4().hex}{UNFINISHED}"
    try:
        marker.touch()
    except OSError:
        return True
    try:
        return all(_ask(node["NodeID"], marker.exists) for node in _live_nodes())
    finally:
        marker.unlink()


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result, "none" where one is missing."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _live_nodes() -> list[dict[str, Any]]:
    every: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in every if node["Alive"]]


def _ask(node_id: str, question: Callable[[], T]) -> T:
    """What a function returns on a node."""
    pinned = NodeAffinitySchedulingStrategy(node_id, soft=False)
    task: Any = ray.remote(num_cpus=0)(_call)
    answer: T = ray.get(task.options(scheduling_strategy=pinned).remote(question))
    return answer


def _call(question: Callable[[], T]) -> T:
    return question()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _fitting(node: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How many workers fit on an idle node."""
    return min(int(node.get(name, 0.0) / amount) for name, amount in each.items() if amount)


def _describe(node: Mapping[str, float], each: Mapping[str, float]) -> str:
    return ", ".join(f"{node.get(name, 0.0):g} {name}" for name, amount in each.items() if amount)
