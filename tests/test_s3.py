"""Training and a sweep whose storage is an address, on a real server of the S3 protocol."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow.fs import FileSelector, FileSystem

from pipeline.checkpoints import load_tensors
from tests.jobs import TRAIN, TUNE
from tests.processes import finish, kill_when, start

pytestmark = pytest.mark.slow

STORAGE = "s3://bucket/skipscan"


@pytest.fixture(scope="module")
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


def names(s3: FileSystem) -> list[str]:
    return [file.path for file in s3.get_file_info(FileSelector("bucket", recursive=True))]


def test_a_training_killed_and_started_again(s3: FileSystem, patches: Path, tmp_path: Path) -> None:
    process = start("train", patches, tmp_path, STORAGE)
    kill_when(process, lambda: any("checkpoint_manager_snapshot" in name for name in names(s3)))
    assert not (tmp_path / "state.pt").exists()
    said_before = len((tmp_path / "log.txt").read_text())
    finish(start("train", patches, tmp_path, STORAGE), tmp_path)
    assert load_tensors(tmp_path / "state.pt")["epoch"] == TRAIN.epochs
    said = (tmp_path / "log.txt").read_text()[said_before:]
    assert "epoch 4 of 4" in said
    assert "epoch 1 of 4" not in said
    assert not any(name.endswith(".tmp") for name in names(s3))


def test_a_sweep_started_again_has_nothing_left_to_do(
    s3: FileSystem, patches: Path, tmp_path: Path
) -> None:
    for run in ("first", "second"):
        finish(start("sweep", patches, tmp_path / run, STORAGE), tmp_path / run)
    first, second = (
        json.loads((tmp_path / run / "trials.json").read_text()) for run in ("first", "second")
    )
    assert len(first["trials"]) == TUNE.trials
    assert second["trials"] == first["trials"]
