"""The model that MLflow loads and serves: whole scans in, p-values, alarms and boxes out."""

import base64
import io
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, Object, Property

from pipeline.common.errors import InputError, on_one_line
from pipeline.common.names import FALSE_ALARM_RATE, Image
from pipeline.models.trained_model import TrainedModel
from pipeline.pages.pictures import encode_image, heat_colours, heat_levels
from pipeline.scans.bad_input import as_bad
from pipeline.scans.image_limits import MAX_PIXELS
from pipeline.scans.images import read_image
from pipeline.screening.image_screener import ImageScreener

IMAGE = "image"  # the column of the input: bytes of a PNG, JPEG, TIFF, BMP or .npy file
MODEL = "model"  # the artifact: a file of `TrainedModel`
NUMPY = b"\x93NUMPY"
SIDES = ("left", "top", "width", "height")

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, IMAGE)]),
    outputs=Schema(
        [
            ColSpec(DataType.double, "p_value"),
            ColSpec(DataType.boolean, "alarm"),
            ColSpec(
                Array(
                    Object(
                        [
                            *(Property(side, DataType.long) for side in SIDES),
                            Property("p_value", DataType.double),
                            Property("because", DataType.string),
                        ]
                    )
                ),
                "boxes",
            ),
            ColSpec(DataType.string, "map", required=False),
        ]
    ),
    params=ParamSchema(
        [
            ParamSpec("false_alarm_rate", DataType.double, FALSE_ALARM_RATE),
            ParamSpec("map", DataType.boolean, default=False),
        ]
    ),
)


class ScanModel(PythonModel):
    """Screens scans one by one."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the trained model."""
        self._screener = ImageScreener.of(TrainedModel.load(Path(context.artifacts[MODEL])))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  # MLflow's interface
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return a bag's p-value, alarm and boxes for each row of the column `image`.

        Args:
            context: not used.
            model_input: the column `image` has the bytes of files of images, or of NumPy's .npy
                with uint8 (H, W, C).
            params: `false_alarm_rate`: a bag raises an alarm if its p-value is this or less; `map`:
                True for the heat as PNG with transparency, in base64.

        Raises:
            MlflowException: a row is no scan that the model can score; a server answers 400.
        """
        options = params or {}
        rate = options.get("false_alarm_rate", FALSE_ALARM_RATE)
        with_map = options.get("map", False)
        if not 0 < rate < 1:
            raise MlflowException.invalid_parameter_value(
                f"false_alarm_rate: got {rate}, expected a share, more than 0 and less than 1"
            )
        return pd.DataFrame(
            self._screened(content, row, rate, with_map)
            for row, content in enumerate(model_input[IMAGE])
        )

    def _screened(self, content: bytes, row: int, rate: float, with_map: bool) -> dict[str, Any]:
        try:
            screened = self._screener.screen(image_of(content))
        except InputError as error:
            raise MlflowException.invalid_parameter_value(f"{IMAGE} {row}: {error}") from None
        layer = heat_colours()[heat_levels(screened.evidence)] if with_map else None
        return {
            "p_value": screened.p_value,
            "alarm": screened.p_value <= rate,
            "boxes": [vars(look) for look in screened.looks],
            "map": "" if layer is None else base64.b64encode(encode_image(layer, ".png")).decode(),
        }


def image_of(content: bytes) -> Image:
    """Return the scan in the bytes of a file, (H, W, C) uint8.

    Raises:
        InputError: it is no image that is read, or an array of another type or shape.
    """
    if content.startswith(NUMPY):
        return _array(content)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            return read_image(Path(file.name))
        except InputError as error:
            raise InputError(as_bad(file.name, error).reason) from None


def _array(content: bytes) -> Image:
    """Return the array in a .npy file; its header is checked before memory is taken."""
    file = io.BytesIO(content)
    try:
        np.lib.format.read_magic(file)
        shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # the header is Python's text: any error of its parser
        raise InputError(f"not an array: {on_one_line(error)}") from None
    values = np.frombuffer(content, dtype=np.uint8, offset=file.tell())
    if kind != np.uint8 or fortran or len(shape) != 3 or any(side < 1 for side in shape):
        raise InputError(f"got {kind} {shape}, expected uint8 (H, W, C) in C's order")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise InputError(f"got {shape[1]}x{shape[0]}, expected at most {MAX_PIXELS:,} pixels")
    if math.prod(shape) != len(values):
        raise InputError(f"got {len(values)} bytes of pixels, expected {math.prod(shape)}")
    return values.reshape(shape).copy()  # the array of `frombuffer` is read-only
