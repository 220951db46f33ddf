"""The model in MLflow's form: what it takes, what it gives, and what it refuses."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext

from pipeline.common.p_values import RightTail
from pipeline.models.bag_scores import Tails
from pipeline.models.trained_model import TrainedModel
from pipeline.pages.pictures import encode_image, heat_colours, heat_levels
from pipeline.scans.images import read_image
from pipeline.screening.image_screener import ImageScreener
from pipeline.serving.contents import PACKAGES, model_contents
from pipeline.serving.scan_model import IMAGE, ScanModel, image_of
from pipeline.settings.windows import WindowRule
from tests.arrays import clutter
from tests.darkness import darkness_detector
from tests.imports import import_closure, imported_names
from tests.tiny_model import make_model

SCAN = clutter(3, 3)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return make_model()


@pytest.fixture(scope="module")
def served(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> ScanModel:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    trained.save(path)
    model = ScanModel()
    model.load_context(cast(PythonModelContext, SimpleNamespace(artifacts={"model": str(path)})))
    return model


def predicted(model: ScanModel, *contents: bytes, **params: Any) -> list[dict[str, Any]]:
    context = cast(PythonModelContext, None)
    found = model.predict(context, pd.DataFrame({IMAGE: list(contents)}), params)
    return cast(list[dict[str, Any]], found.to_dict("records"))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str) -> bytes:
    """A file of NumPy's whose header is `text`, with three bytes of pixels."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"abc"


@pytest.mark.parametrize("rate", [0.0, 1.0, 20.0, -0.5, float("nan")])
def test_a_rate_that_is_no_share_is_refused(served: ScanModel, rate: float) -> None:
    with pytest.raises(MlflowException, match=r"^false_alarm_rate: got .*, expected a share, "):
        predicted(served, npy(SCAN), false_alarm_rate=rate)


def test_images_and_arrays_are_screened_as_on_the_command_line(
    served: ScanModel, trained: TrainedModel
) -> None:
    expected = ImageScreener.of(trained).screen(SCAN)
    found = predicted(served, encode_image(SCAN, ".png"), npy(SCAN), encode_image(SCAN, ".tiff"))
    for row in found:
        assert row["p_value"] == expected.p_value
        assert row["boxes"] == [vars(look) for look in expected.looks]
        assert row["map"] == ""


def test_the_rate_and_the_map_are_parameters(
    served: ScanModel, trained: TrainedModel, tmp_path: Path
) -> None:
    expected = ImageScreener.of(trained).screen(SCAN)
    for rate in (expected.p_value, expected.p_value - 1e-9):
        (row,) = predicted(served, npy(SCAN), false_alarm_rate=rate, map=True)
        assert row["alarm"] == (rate == expected.p_value)
    path = tmp_path / "map.png"
    path.write_bytes(base64.b64decode(row["map"]))
    opaque = read_image(path)  # transparent pixels are white
    layer = heat_colours()[heat_levels(expected.evidence)]
    assert (opaque[layer[:, :, 3] == 0] == 255).all()
    assert (opaque[layer[:, :, 3] > 20] != 255).any(axis=1).all()


def test_the_example_is_a_scan_that_the_model_takes(
    served: ScanModel, trained: TrainedModel, tmp_path: Path
) -> None:
    (example,) = model_contents(tmp_path / "model.pt", SCAN)["input_example"][IMAGE]
    (row,) = predicted(served, example)
    assert row["p_value"] == ImageScreener.of(trained).screen(SCAN).p_value
    assert row["alarm"] == (row["p_value"] <= 0.2)
    two = SCAN[:, :, :2]  # low and high energy: no kind of picture has two channels
    (example,) = model_contents(tmp_path / "model.pt", two)["input_example"][IMAGE]
    np.testing.assert_array_equal(image_of(example), two)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "image 1: not an image"),
        (encode_image(SCAN, ".png")[:300], "image 1: cannot be read: image file is truncated"),
        (
            encode_image(SCAN[:8], ".png"),
            "image 1: a scan of 64x8 pixels is smaller than a window of 1",
        ),
        (npy(SCAN[:, :, :1]), "image 1: 1 channels, but the model is of scans with 3: train a"),
        (npy(SCAN)[:-1], "image 1: got 9215 bytes of pixels, expected 9216"),
        (npy(SCAN)[:40], "image 1: not an array: "),
        (
            npy(SCAN.astype(float)),
            r"image 1: got float64 \(48, 64, 3\), expected uint8 \(H, W, C\)",
        ),
        (npy(SCAN[:, :, 0]), r"image 1: got uint8 \(48, 64\), expected uint8 \(H, W, C\)"),
        (npy(np.asfortranarray(SCAN)), r"image 1: got uint8 \(48, 64, 3\), expected .* in C's ord"),
        (npy(np.array([None])), "image 1: got object"),
        (header("{'descr': ("), "image 1: not an array: "),
        (header("{[]: 1}"), "image 1: not an array: "),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -3, 1)}"), "image 1: got "),
        (
            header("{'descr': '|u1', 'fortran_order': False, 'shape': (8001, 8000, 1)}"),
            "image 1: got 8000x8001, expected at most 64,000,000 pixels",
        ),
    ],
)
def test_what_is_no_scan_is_the_client_s_fault(
    served: ScanModel, content: bytes, message: str
) -> None:
    with pytest.raises(MlflowException, match=f"^{message}") as error:
        predicted(served, npy(SCAN), content)
    assert error.value.get_http_status_code() == 400
    assert "\n" not in str(error.value)
    assert "tmp" not in str(error.value)


@pytest.mark.slow
def test_the_packages_of_the_model_are_those_that_its_code_imports() -> None:
    closure = import_closure("pipeline.serving.load")
    imported = {name.partition(".")[0] for path in closure for name in imported_names(path)}
    ours = imported - set(sys.stdlib_module_names) - {"pipeline"}
    packages = {name.lower() for module in ours for name in packages_distributions()[module]} - {
        "mlflow-skinny",
        "mlflow-tracing",
    }  # parts of mlflow
    assert packages == set(PACKAGES)


@pytest.fixture(scope="module")
def port(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server of the stored model, which knows nothing of this checkout."""
    folder = tmp_path_factory.mktemp("served")
    trained.save(folder / "model.pt")
    contents = model_contents(folder / "model.pt", SCAN)
    mlflow.pyfunc.save_model(folder / "stored", **contents)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", "stored", "--host", "127.0.0.1", "--port", str(number), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("PYTHONPATH", None)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(600):
            with suppress(OSError):
                answer(number, "GET", "/ping")
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        else:
            pytest.fail(f"no answer in a minute: {(folder / 'log').read_text()}")
        yield number
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def answer(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """The status and the content that the server answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        found = connection.getresponse()
        return found.status, found.read()
    finally:
        connection.close()


def posted(port: int, content: bytes, **params: Any) -> tuple[int, Any]:
    """The status and the JSON that the server answers for one scan."""
    image = base64.b64encode(content).decode()
    body = {"dataframe_split": {"columns": [IMAGE], "data": [[image]]}, "params": params}
    status, found = answer(port, "POST", "/invocations", body)
    return status, json.loads(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of pandas, on MLflow's use of it
def test_the_stored_model_is_served(port: int, trained: TrainedModel) -> None:
    expected = ImageScreener.of(trained).screen(SCAN)
    status, found = posted(port, encode_image(SCAN, ".png"), false_alarm_rate=0.999)
    assert status == 200
    (row,) = found["predictions"]
    assert row["p_value"] == pytest.approx(expected.p_value)
    assert row["boxes"] == [
        {name: pytest.approx(value) for name, value in vars(look).items()}
        for look in expected.looks
    ]
    assert row["alarm"] == (expected.p_value <= 0.999)
    status, found = posted(port, b"no picture")
    assert status == 400
    *_, last = found["message"].splitlines()  # MLflow writes before it which rows it has got
    assert last.startswith("Error: image 0: not an image")
    assert posted(port, npy(SCAN))[0] == 200  # it lives


def test_the_served_map_lies_over_the_scan() -> None:
    served = ScanModel()
    tails = Tails(RightTail.of(np.linspace(0, 200, 4000)), RightTail.of(np.array([1.0])))
    served._screener = ImageScreener(darkness_detector(), 3, WindowRule(size=16, stride=8), tails)
    scan = np.full((48, 80, 3), 200, np.uint8)
    scan[:24, :24] = 20
    (row,) = predicted(served, npy(scan), map=True)
    content = np.frombuffer(base64.b64decode(row["map"]), np.uint8)
    heat = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    assert heat is not None
    assert heat.shape == (48, 80, 4)
    assert heat[8, 8, 3] > 150
    assert heat[40, 72, 3] == heat[8, 72, 3] == heat[40, 8, 3] == 0
