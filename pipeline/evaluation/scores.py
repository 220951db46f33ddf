"""Scores every patch of a split: by the model, and by scores that need no model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import NORMAL, Patches, Scores
from pipeline.evaluation.principal_components import PrincipalComponents
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.models.detector import Detector, fitted_detector
from pipeline.models.interface import MAX_REFERENCE_NORMALS
from pipeline.models.nets import NetShape
from pipeline.models.trained_model import Calibration
from pipeline.patches.store import PatchSource, PatchStore, read_evenly_spaced
from pipeline.settings.methods import GRANULOMETRY
from pipeline.settings.model import ModelSettings

OVERALL = "overall"  # the name of all abnormal classes together
ANOMALY = "anomaly_score"
PCA = "pca"


@dataclass(frozen=True)
class WindowScores:
    """All scores of the N patches of a split, (N,) each.

    Attributes:
        labels: class names, `normal` among them.
        scan_ids: the scan of each patch.
        scores: by name, higher means more abnormal; the anomaly score is scaled (Equation 6).
    """

    labels: NDArray[np.str_]
    scan_ids: NDArray[np.str_]
    scores: dict[str, Scores]

    @property
    def normal(self) -> NDArray[np.bool_]:
        """Boolean mask (N,), True where a patch is normal."""
        return np.asarray(self.labels == NORMAL)

    @property
    def only_normal(self) -> bool:
        """Whether there are windows, and all of them are normal."""
        return len(self.labels) > 0 and bool(self.normal.all())

    def abnormal(self, class_name: str) -> NDArray[np.bool_]:
        """Return a mask (N,), True on patches of the class; `overall` is any abnormal class."""
        return ~self.normal if class_name == OVERALL else np.asarray(self.labels == class_name)


@dataclass(frozen=True)
class PatchScorer:
    """Scores patches with the model, and with the scores that need no model.

    Attributes:
        detector: the model.
        calibration: scales the model's anomaly score (Equation 6).
        components: principal components of training normals, for the score `pca`.
        without_networks: the method without networks or labels, for a row of its own; None if it is
            the model.
    """

    detector: Detector
    calibration: Calibration
    components: PrincipalComponents
    without_networks: Detector | None = None

    def __call__(self, patches: Patches) -> dict[str, Scores]:
        """Return each score of patches (N, H, W, C), (N,), by its name."""
        scores, other = self.detector.score([patches]), self.without_networks
        return {
            ANOMALY: self.calibration.scale(scores.anomaly),
            **scores.terms,
            **({GRANULOMETRY: other.score([patches]).anomaly} if other else {}),
            PCA: self.components.residual(patches),
            **{name: score(patches) for name, score in TRIVIAL_SCORES.items()},
        }


def detector_without_networks(normals: PatchSource) -> Detector:
    """Return the method that has no networks, fitted to training normals."""
    settings = ModelSettings(
        ngf=1, ndf=1, learning_rate=1, score_lambda=0, method=GRANULOMETRY
    )  # no network has these sizes
    shape = NetShape(normals.side, normals.channels, ngf=1, ndf=1, latent_dim=1)
    sample = read_evenly_spaced(normals, MAX_REFERENCE_NORMALS)
    return fitted_detector(shape, {}, settings, [sample])


def score_store(store: PatchStore, score_patches: PatchScorer) -> WindowScores:
    """Score all patches of a store."""
    blocks = store.blocks_with_progress("scores")
    parts = [score_patches(store.read(0, 0)), *map(score_patches, blocks)]
    scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return WindowScores(store.labels, store.scan_ids, scores)
