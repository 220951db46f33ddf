"""The parts of the model that MLflow stores: code, weights, signature, example, packages."""

import io
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import pipeline
from pipeline.common.names import Image
from pipeline.serving.scan_model import IMAGE, MODEL, SIGNATURE

# What the code that scores a scan imports; tests/test_serving.py compares the two.
PACKAGES = (
    "mlflow",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "ruamel.yaml",
    "torch",
    "tqdm",
)


def model_contents(model: Path, example: Image) -> dict[str, Any]:
    """Return the arguments of `mlflow.pyfunc.log_model`.

    Args:
        model: a file of `TrainedModel`.
        example: a scan (H, W, C) uint8, with as many channels as the model's scans.
    """
    file = io.BytesIO()
    np.save(file, example)
    code = Path(pipeline.__path__[0])
    return {
        "python_model": str(code / "serving" / "load.py"),
        "artifacts": {MODEL: str(model)},
        "code_paths": [str(code)],
        "signature": SIGNATURE,
        "input_example": pd.DataFrame({IMAGE: [file.getvalue()]}),
        # Without this, MLflow loads the model in a second process to find the packages.
        "pip_requirements": [f"{name}=={version(name).partition('+')[0]}" for name in PACKAGES],
    }
