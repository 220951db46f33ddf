"""One Ray for all tests of this folder, and a server of the S3 protocol that its workers know."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyarrow.fs import FileSystem

from pipeline.cluster.session import ray_session
from tests.on_ray.jobs import environment, run_job

RunHere = Callable[..., None]
STORAGE = "s3://bucket/skipscan"  # on the server of the fixture `s3`

ON_RAY = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


@pytest.fixture(scope="package")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileSystem]:
    """A server on loopback with an empty bucket, which the jobs find by their environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        try:
            wait_for(port)
            creating, _ = FileSystem.from_uri("s3://bucket?allow_bucket_creation=true")
            creating.create_dir("bucket")
            yield FileSystem.from_uri("s3://bucket")[0]
        finally:
            server.kill()
            server.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="package")
def session(s3: FileSystem) -> Iterator[None]:
    """Ray for this process, whose workers find the S3 server by their environment.

    Ray may not take the handler of SIGTERM away, neither at its start nor at its end.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ray_session():
        assert is_caught(signal.SIGTERM)
        yield
    assert is_caught(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


def is_caught(number: signal.Signals) -> bool:
    """Ask the system, since Python does not know of handlers that C++ sets."""
    status = Path("/proc/self/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.fixture(scope="package")
def run_here(session: None) -> RunHere:
    """`run_job` on the Ray of this process: for jobs that are not to be killed."""

    def run(job: str, patches: Path, folder: Path, storage: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(folder).items():
                patch.setenv(name, value)
            run_job(job, patches, folder, storage)

    return run
