"""The criterion for the best epoch, and a sweep's objective. Neither reads the test split.

`IMPLANT_AUC` chooses the best epoch and needs no label: the AUC of validation normals against the
same patches with a foreign piece laid over each (a synthetic anomaly), where transmissions are
multiplied, as in X-ray (Beer-Lambert). A sweep ranks its trials by `LABELLED_AUC` if there are
labelled validation scans of both kinds, else by `IMPLANT_AUC`. A loss weight cannot raise an AUC by
rescaling the scores.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.errors import InputError
from pipeline.common.metrics import auc
from pipeline.common.names import Patches
from pipeline.models.detector import Detector, LabelledWindows
from pipeline.models.interface import MAX_REFERENCE_NORMALS
from pipeline.patches.shard_file import BLOCK_ROWS
from pipeline.patches.store import (
    PatchSource,
    PatchStore,
    evenly_spaced,
    read_evenly_spaced,
    read_rows,
)

IMPLANT_AUC = "implant_auc"  # validation normals against the same patches with implants
LABELLED_AUC = "labelled_auc"  # normal against abnormal patches of the labelled validation scans
MAX_PATCHES = 1024  # of each kind: enough for a rank statistic, cheap compared with an epoch


@dataclass(frozen=True)
class Validation:
    """Validation data, on which a detector is scored after every epoch.

    Attributes:
        normals: (N, H, W, C) uint8 validation normals.
        implanted: `normals` with a foreign piece laid over each.
        labelled: (M, H, W, C) uint8 labelled validation patches; a sweep alone may use them.
        labelled_abnormal: (M,) True where a labelled patch is abnormal.
    """

    normals: Patches
    implanted: Patches
    labelled: Patches | None = None
    labelled_abnormal: NDArray[np.bool_] | None = None

    def __call__(self, detector: Detector) -> dict[str, float]:
        """Return metrics by name: `IMPLANT_AUC`, and `LABELLED_AUC` if there are labels.

        Also the mean of each term of the score on the normals, as `validation_<term>`.
        """
        scores = detector.score([self.normals])
        against = detector.score([self.implanted])
        metrics = {
            IMPLANT_AUC: _auc_or_chance(scores.anomaly, against.anomaly),
            **{f"validation_{name}": float(term.mean()) for name, term in scores.terms.items()},
        }
        if self.labelled is not None and self.labelled_abnormal is not None:
            anomaly = detector.score([self.labelled]).anomaly
            abnormal = self.labelled_abnormal
            metrics[LABELLED_AUC] = _auc_or_chance(anomaly[~abnormal], anomaly[abnormal])
        return metrics


def objective_name(labelled: PatchStore) -> str:
    """Return a sweep's objective: `LABELLED_AUC` with labels of both kinds, else `IMPLANT_AUC`."""
    normal = labelled.is_normal()
    return LABELLED_AUC if normal.any() and not normal.all() else IMPLANT_AUC


def load_validation(normals: PatchSource, seed: int, labelled: PatchStore | None) -> Validation:
    """Read up to `MAX_PATCHES` validation normals, and as many of each kind from `labelled`."""
    patches = read_evenly_spaced(normals, MAX_PATCHES)
    implanted = implant(patches, np.random.default_rng([seed, len(patches)]))
    if labelled is None or objective_name(labelled) == IMPLANT_AUC:
        return Validation(patches, implanted)
    normal = labelled.is_normal()
    rows = np.sort(
        np.concatenate(
            [evenly_spaced(np.flatnonzero(kind), MAX_PATCHES) for kind in (normal, ~normal)]
        )
    )
    return Validation(patches, implanted, read_rows(labelled, rows), ~normal[rows])


def training_normals(training: PatchSource) -> Iterator[Patches]:
    """Yield at most `MAX_REFERENCE_NORMALS` training patches, evenly spread over all, in blocks.

    Blocks are read lazily: a detector that fits nothing to them reads none.
    """
    rows = evenly_spaced(np.arange(len(training)), MAX_REFERENCE_NORMALS)
    for start in range(0, len(rows), BLOCK_ROWS):
        yield read_rows(training, rows[start : start + BLOCK_ROWS])


def labelled_windows(store: PatchStore, bags: int) -> LabelledWindows:
    """Return the windows of the labelled training bags, which are read when a score is taught.

    Raises:
        InputError: no window has a threat. Normal windows are never missing: training has some.
    """
    abnormal = ~store.is_normal()
    if not abnormal.any():
        raise InputError(
            f"model.head: labelled, but {store.folder} has no window with a threat in its split "
            f"{store.split}: raise scans.labelled_training, or set model.head to none"
        )
    return LabelledWindows(store.blocks, abnormal, bags)


def implant(patches: Patches, generator: np.random.Generator) -> Patches:
    """Lay a rotated piece of a random patch over each patch, an eighth to half of the side long.

    These synthetic anomalies are akin to CutPaste's (Li et al., CVPR 2021), but transmissions are
    multiplied. They rank epochs, and say nothing about the AUC on real threats. Pieces come from
    the same patches (rarely from the patch itself), so only their position and context are foreign.
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


def _auc_or_chance(normal: NDArray[np.float64], abnormal: NDArray[np.float64]) -> float:
    found = auc(normal, abnormal)  # None if a score is not a number: no reason to keep the epoch
    return 0.5 if found is None else found
