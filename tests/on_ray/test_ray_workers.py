"""What a worker knows of the Ray that it belongs to, and of the process that started it."""

import os
import tempfile

import ray

from tests.on_ray.conftest import ON_RAY

pytestmark = ON_RAY


def test_a_worker_finds_its_own_ray_where_there_are_several(session: None) -> None:
    asked = ray.remote(lambda: os.environ.get("RAY_ADDRESS")).remote()
    assert ray.get(asked) == ray.get_runtime_context().gcs_address


def test_a_worker_s_temporary_files_are_where_the_user_s_are(session: None) -> None:
    """Not in Ray's own folder, which may be another because of the length of its path."""
    assert ray.get(ray.remote(tempfile.gettempdir).remote()) == tempfile.gettempdir()
