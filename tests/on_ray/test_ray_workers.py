"""What a worker knows of the Ray that it belongs to."""

import os

import ray

from tests.on_ray.conftest import ON_RAY

pytestmark = ON_RAY


def test_a_worker_finds_its_own_ray_where_there_are_several(session: None) -> None:
    asked = ray.remote(lambda: os.environ.get("RAY_ADDRESS")).remote()
    assert ray.get(asked) == ray.get_runtime_context().gcs_address
