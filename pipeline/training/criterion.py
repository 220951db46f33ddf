"""Which epoch and which trial is best, without ever looking at the test part.

The criterion needs no label: validation normals, against the same patches with something foreign
laid over them. Superimposing is what X-ray does, so transmissions multiply (Beer-Lambert). It is
an AUC, so no weight of the loss can raise it by its own scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.metrics import auc
from pipeline.common.names import Patches
from pipeline.models.detector import Detector
from pipeline.models.neighbours import MOST_NORMALS
from pipeline.patches.shard_file import BLOCK_ROWS
from pipeline.patches.store import PatchSource, PatchStore, read_rows, spread

CRITERION = "implant_auc"  # of validation normals against implanted ones
LABELLED = "labelled_auc"  # of the labelled validation scans
MAX_PATCHES = 1024  # of each kind: plenty for a rank statistic, and cheap beside an epoch


@dataclass(frozen=True)
class Validation:
    """Scores a detector on validation data, after every epoch.

    Attributes:
        normals: (N, H, W, C) uint8 validation normals.
        implanted: the same with something foreign laid over each.
        labelled: labelled validation patches, where a sweep may see them ...
        labelled_abnormal: ... and which of them are abnormal, (M,).
    """

    normals: Patches
    implanted: Patches
    labelled: Patches | None = None
    labelled_abnormal: NDArray[np.bool_] | None = None

    def __call__(self, detector: Detector) -> dict[str, float]:
        """Metrics by name; `CRITERION` always, `LABELLED` where labels are there and defined."""
        scores = detector.score([self.normals])
        against = detector.score([self.implanted])
        metrics = {
            CRITERION: _required_auc(scores.anomaly, against.anomaly),
            **{f"validation_{name}": float(term.mean()) for name, term in scores.terms.items()},
        }
        if self.labelled is not None and self.labelled_abnormal is not None:
            anomaly = detector.score([self.labelled]).anomaly
            abnormal = self.labelled_abnormal
            metrics[LABELLED] = _required_auc(anomaly[~abnormal], anomaly[abnormal])
        return metrics


def objective(labelled: PatchStore) -> str:
    """What a sweep maximises: `LABELLED` where both kinds are labelled, else `CRITERION`."""
    normal = labelled.is_normal()
    return LABELLED if normal.any() and not normal.all() else CRITERION


def load_validation(normals: PatchSource, seed: int, labelled: PatchStore | None) -> Validation:
    """Read up to `MAX_PATCHES` validation normals, and of `labelled` as many of each kind."""
    patches = read_rows(normals, spread(np.arange(len(normals)), MAX_PATCHES))
    implanted = implant(patches, np.random.default_rng([seed, len(patches)]))
    if labelled is None or objective(labelled) == CRITERION:
        return Validation(patches, implanted)
    normal = labelled.is_normal()
    rows = np.sort(
        np.concatenate([spread(np.flatnonzero(kind), MAX_PATCHES) for kind in (normal, ~normal)])
    )
    return Validation(patches, implanted, read_rows(labelled, rows), ~normal[rows])


def training_normals(training: PatchSource) -> Iterator[Patches]:
    """At most `MOST_NORMALS` of the training patches, evenly spread over all of them, in blocks.

    They are read as they are asked for: a detector that fits nothing to them reads none.
    """
    rows = spread(np.arange(len(training)), MOST_NORMALS)
    for start in range(0, len(rows), BLOCK_ROWS):
        yield read_rows(training, rows[start : start + BLOCK_ROWS])


def implant(patches: Patches, generator: np.random.Generator) -> Patches:
    """Lay a turned piece of another patch over each, an eighth to half of its side long.

    Pieces come from the same patches, so nothing but their place and context is foreign.
    """
    count, side = patches.shape[:2]
    implanted = patches.copy()
    donors = generator.permutation(count)
    for row, donor in enumerate(donors):
        height, width = generator.integers(side // 8, side // 2 + 1, size=2)
        top, left = (generator.integers(0, side - length + 1) for length in (height, width))
        turned = np.rot90(patches[donor], int(generator.integers(1, 4)))
        target = implanted[row, top : top + height, left : left + width]
        piece = turned[top : top + height, left : left + width]
        product = target.astype(np.uint16) * piece // 255
        implanted[row, top : top + height, left : left + width] = product.astype(np.uint8)
    return implanted


def _required_auc(normal: NDArray[np.float64], abnormal: NDArray[np.float64]) -> float:
    found = auc(normal, abnormal)
    return 0.5 if found is None else found
