"""What is refused before a job starts, on a cluster of two real nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from pipeline.cluster.preflight import (
    installed_versions,
    is_on_every_node,
    is_shared,
    require_capacity,
    require_same_versions,
)
from pipeline.common.errors import InputError

pytestmark = [
    pytest.mark.slow,
    # Ray's own test cluster leaves a socket to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
    cluster.add_node(num_cpus=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        ray.init()
        yield cluster
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("two_nodes")
def test_what_fits_is_let_through() -> None:
    require_capacity("train.workers", 4, {"CPU": 1.0, "GPU": 0.0})
    require_capacity("train.workers", 1, {"CPU": 2.0})


@pytest.mark.usefixtures("two_nodes")
@pytest.mark.parametrize(
    ("count", "each", "message"),
    [
        (5, {"CPU": 1.0}, "got 5 workers of 1 CPU each, expected at most 4: the cluster's"),
        (
            2,
            {"CPU": 2.0},
            "got 2 workers of 2 CPU each, expected at most 1",
        ),  # 4 CPUs, but not together
        (1, {"CPU": 1.0, "GPU": 0.5}, "workers of 1 CPU, 0.5 GPU each, expected at most 0"),
    ],
)
def test_what_can_never_be_placed_is_refused(
    count: int, each: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        require_capacity("train.workers", count, each)


@pytest.mark.usefixtures("two_nodes")
def test_a_node_of_another_version_is_named() -> None:
    require_same_versions(installed_versions())
    with pytest.raises(InputError, match=r"node .*: torch 2\.13.*, here 1\.2\.0: install"):
        require_same_versions({**installed_versions(), "torch": "1.2.0"})


@pytest.mark.usefixtures("two_nodes")
def test_nodes_of_one_machine_share_its_folders(tmp_path: Path) -> None:
    assert is_shared(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert is_shared(tmp_path / "missing")
    assert is_on_every_node(tmp_path)
    assert not is_on_every_node(tmp_path / "missing")
