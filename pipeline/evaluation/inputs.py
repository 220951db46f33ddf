"""The inputs of an evaluation: the test split, its scans, and the model that scores them."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.models.detector import Detector
from pipeline.models.trained_model import Calibration
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.scan import ScanSource
from pipeline.settings.windows import WindowRule


@dataclass(frozen=True)
class EvaluationInputs:
    """The inputs of bags, figures and pages, except the scores.

    Attributes:
        store: the test patches.
        scans: the test scans; empty if each patch is a whole scan.
        source: reads the scans.
        rule: the rule by which windows were cut.
        detector: the model.
        calibration: scales the model's anomaly score; has the threshold.
    """

    store: PatchStore
    scans: Sequence[CatalogueRow]
    source: ScanSource
    rule: WindowRule
    detector: Detector
    calibration: Calibration

    @property
    def threshold(self) -> float:
        """The threshold of the scaled anomaly score."""
        return self.calibration.scaled_threshold
