"""How long a served scan takes beside its screening without a server, and the server's memory.

    python -m benchmarks.serving [--model results/train/model.pt] [--python PATH]

Stores the model as MLflow does, starts `mlflow models serve` on loopback, and sends it 200 scans
from 8 clients; then a broken file, which has to be answered with 400, and a scan once more.
`--python` names the interpreter of another environment, such as one with nothing but the stored
model's own requirements, which `--requirements FILE` writes.
"""

import argparse
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import mlflow
import numpy as np
import psutil

from pipeline.common.names import Image
from pipeline.models.trained_model import TrainedModel
from pipeline.pages.pictures import encode_image
from pipeline.scans.generated.generator import render_scan
from pipeline.screening.image_screener import ImageScreener
from pipeline.serving.contents import model_contents

SEED = 0
REQUESTS, CLIENTS = 200, 8
ALONE = 20  # requests of a single client, and screenings without a server
START_SECONDS = 120


@contextmanager
def served(stored: Path, python: str) -> Iterator[tuple[int, psutil.Process]]:
    """Serve a stored model by an interpreter: the port, and the process above the server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [python, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m"]
    command += [str(stored), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"  # where it finds uvicorn
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}
    environment.pop("PYTHONPATH", None)  # of this checkout, which it must not need
    log = stored.with_name("server.log")
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=stored.parent,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield port, psutil.Process(server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def answers(port: int) -> bool:
    """Return whether the server is up."""
    with suppress(OSError):
        return ask(port, "GET", "/ping", b"")[0] == 200
    return False


def ask(port: int, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Return the status and the content of the server's answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        found = connection.getresponse()
        return found.status, found.read()
    finally:
        connection.close()


def request_of(content: bytes) -> bytes:
    """Return the body of a request for one scan."""
    data = [[base64.b64encode(content).decode()]]
    return json.dumps({"dataframe_split": {"columns": ["image"], "data": data}}).encode()


def seconds_of(port: int, body: bytes) -> float:
    """Return the time of one request that has to be answered well."""
    started = time.perf_counter()
    status, content = ask(port, "POST", "/invocations", body)
    if status != 200:
        raise RuntimeError(f"status {status}: {content[:500]!r}")
    return time.perf_counter() - started


def screening_seconds(model: TrainedModel, image: Image) -> float:
    """Return the median time of screening a scan in this process: score, map and explanation."""
    screener, times = ImageScreener.of(model), []
    for _ in range(ALONE):
        started = time.perf_counter()
        screener.screen(image)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def megabytes(server: psutil.Process) -> float:
    """Return the memory of the server's processes."""
    processes = [server, *server.children(recursive=True)]
    return sum(process.memory_info().rss for process in processes) / 2**20


def main() -> None:
    """Print the times of a scan and the memory, and how a broken file is answered."""
    parser = argparse.ArgumentParser(description="time and memory of serving")
    parser.add_argument("--model", type=Path, default=Path("results/train/model.pt"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--requirements", type=Path, help="write the model's requirements, and end")
    arguments = parser.parse_args()
    model, image = TrainedModel.load(arguments.model), render_scan(SEED, 0).image
    contents = model_contents(arguments.model.resolve(), image)
    if arguments.requirements:
        arguments.requirements.write_text("\n".join(contents["pip_requirements"]) + "\n")
        return
    body = request_of(encode_image(image, ".png"))
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "stored"
        mlflow.pyfunc.save_model(stored, **contents)
        with served(stored, arguments.python) as (port, server):
            alone = [seconds_of(port, body) for _ in range(ALONE)]
            before = megabytes(server)
            with ThreadPoolExecutor(CLIENTS) as clients:
                started = time.perf_counter()
                times = list(clients.map(lambda _: seconds_of(port, body), range(REQUESTS)))
                passed = time.perf_counter() - started
            after = megabytes(server)
            status, said = ask(port, "POST", "/invocations", request_of(b"no image"))
            seconds_of(port, body)
    print(f"without a server: {screening_seconds(model, image) * 1e3:.0f} ms")
    print(f"one client: {np.median(alone) * 1e3:.0f} ms a scan")
    p50, p95 = np.percentile(times, [50, 95]) * 1e3
    print(f"{REQUESTS} requests by {CLIENTS} clients: p50 {p50:.0f} ms, p95 {p95:.0f} ms, "
          f"{REQUESTS / passed:.1f} scans/s")  # fmt: skip
    print(f"memory of the server: {before:.0f} MB before these, {after:.0f} MB after")
    print(f"a broken file: status {status}, {said.decode()[:200]}")


if __name__ == "__main__":
    main()
