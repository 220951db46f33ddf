"""A detector without a net, whose scores can be worked out by hand."""

from pathlib import Path

import numpy as np
from torch import Tensor

from pipeline.common.names import TEST
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.models.detector import Detector
from pipeline.models.interface import Scorer
from pipeline.models.trained_model import Calibration
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from tests.tiny import EXTRACT


class DarknessScorer(Scorer):
    """A patch's score is its mean darkness, 0 to 255; its reconstruction is its negative."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = {"darkness": 1.0}

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        return {"darkness": 127.5 * (1 - x.mean(dim=(1, 2, 3)))}

    def reconstruct(self, x: Tensor) -> Tensor:
        return -x

    def explain(self, x: Tensor) -> list[str]:
        return [f"darkness {value:.1f}" for value in self.terms(x)["darkness"].tolist()]

    def features(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def darkness_detector() -> Detector:
    return Detector(DarknessScorer())


def darkness_of(patches: np.ndarray) -> np.ndarray:
    """What `darkness_detector` scores, in float64."""
    darkness: np.ndarray = 255 - patches.mean(axis=(1, 2, 3))
    return darkness


def darkness_inputs(patches: Path, sixray: Path, catalogue: list[CatalogueRow]) -> EvaluationInputs:
    """The inputs of an evaluation of this detector on the test split of the shared fixtures."""
    rows = [row for row in catalogue if row.split == TEST]
    source, calibration = MasksSource(sixray, SIXRAY, stretched=True), Calibration(0, 255, 100, 0.1)
    return EvaluationInputs(
        PatchStore(patches, TEST), rows, source, EXTRACT, darkness_detector(), calibration
    )


def grey_patches(*values: int) -> np.ndarray:
    """A patch of 16x16 for each value, of that value alone."""
    return np.repeat(np.array(values, dtype=np.uint8), 16 * 16 * 3).reshape(-1, 16, 16, 3)
