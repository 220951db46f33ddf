"""Fixtures of many tests, and how pytest runs them.

pytest-xdist's own process, which runs no test, loads this file before it starts the others: what
takes seconds to import is imported where it is used.
"""

import gc
import os
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from pipeline.scans.catalogue import CatalogueRow


def pytest_configure() -> None:
    """Compute on one thread, in the processes that tests start too.

    The networks of tests are so small that threads mostly wait for each other, and where several
    processes are at work that takes many times as long. Nor does Python look for garbage while it
    imports a million objects of libraries.
    """
    gc.disable()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # a process more for each training
    # No test's files have to outlive a power cut, and waiting for the disk takes seconds in all.
    os.fsync = lambda fd: None


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Let Hypothesis run without deadlines, since the machine may be busy.

    Before a test module is imported: its decorators take over the profile of that moment.
    """
    if isinstance(collector, pytest.Module):
        from hypothesis import settings

        settings.register_profile("skipscan", deadline=None, max_examples=50)
        settings.load_profile("skipscan")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the file that waits most of its time, for a Ray that is not there."""
    items.sort(key=lambda item: item.path.name != "test_ray_cluster.py")
    gc.freeze()  # what libraries made stays: looking through it takes 0.3 s each time
    gc.set_threshold(20_000)  # new objects; after every 700, the default, it takes 4 s of a run
    gc.enable()


class FilesAndFolders(LoadFileScheduling):  # type: ignore[misc]
    """Sends the tests of a file to one process, and those of `tests/on_ray`, which share a Ray."""

    def _split_scope(self, nodeid: str) -> str:
        return (
            "tests/on_ray" if nodeid.startswith("tests/on_ray/") else super()._split_scope(nodeid)
        )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesAndFolders | None:
    """Replace the scheduler of `--dist loadfile`."""
    return FilesAndFolders(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def yaml_is_parsed_once() -> Iterator[None]:
    """Parse equal files once: tests read params.yaml a thousand times, 10 ms each."""
    from pipeline.common import files

    parsed = cache(files._parse_yaml)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_parse_yaml", lambda content: deepcopy(parsed(content)))
        yield


@pytest.fixture(scope="session")
def sixray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import make_sixray

    return make_sixray(tmp_path_factory.mktemp("sixray"))


@pytest.fixture(scope="session")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import make_cifar

    return make_cifar(tmp_path_factory.mktemp("cifar"))


@pytest.fixture(scope="session")
def catalogue(sixray: Path, tmp_path_factory: pytest.TempPathFactory) -> "list[CatalogueRow]":
    from tests.tiny import make_catalogue

    return make_catalogue(tmp_path_factory.mktemp("scans"), sixray)


@pytest.fixture(scope="session")
def patches(
    sixray: Path, catalogue: "list[CatalogueRow]", tmp_path_factory: pytest.TempPathFactory
) -> Path:
    from tests.tiny import make_patches

    return make_patches(tmp_path_factory.mktemp("patches"), sixray, catalogue)
