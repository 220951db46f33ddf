"""A running Ray for tests, which others connect to by its address."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ray.cluster_utils import Cluster


@contextmanager
def running_ray(cpus: int) -> Iterator[str]:
    """The address of a Ray of one node, with the State API that Ray Train asks."""
    # No port of the dashboard: then it takes a free one, since another Ray may have the usual one.
    node = {"num_cpus": cpus, "include_dashboard": True, "dashboard_port": None}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
        del cluster
        with warnings.catch_warnings():  # it leaves a socket to the garbage collector
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
