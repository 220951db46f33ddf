"""Picks the data of the figures: exemplar patches, points for t-SNE, whole scans with heat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import IGNORED, NORMAL
from pipeline.evaluation.evaluate import ANOMALY, TestScores
from pipeline.evaluation.figures import Exemplars, ScoredScan
from pipeline.models.detector import Detector
from pipeline.patches.store import PatchStore, read_rows
from pipeline.patches.windows import stitch
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.scan import ScanSource

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class FigureInputs:
    """The inputs of the figures, except the scores.

    Attributes:
        store: the test patches.
        scans: the test scans to show whole; empty if each patch is a whole scan.
        source: reads the scans.
        detector: the model.
        threshold: threshold of the scaled anomaly score.
    """

    store: PatchStore
    scans: Sequence[CatalogueRow]
    source: ScanSource
    detector: Detector
    threshold: float


def pick_exemplars(inputs: FigureInputs, test: TestScores, count: int, seed: int) -> Exemplars:
    """Pick `count` random normal patches and as many abnormal ones, spread over the classes."""
    generator = np.random.default_rng(seed)
    classes = sorted(set(test.labels.tolist()) - {NORMAL})
    normal = _sample(np.flatnonzero(test.normal), count, generator)
    each = -(-count // max(len(classes), 1))  # rounded up, then cut to `count`
    abnormal = [_sample(np.flatnonzero(test.labels == name), each, generator) for name in classes]
    rows = np.concatenate([normal, np.concatenate([normal[:0], *abnormal])[:count]])
    patches = read_rows(inputs.store, rows)
    titles = [
        f"{test.labels[row].replace('_', ' ')}\n{test.scores[ANOMALY][row]:.2f}" for row in rows
    ]
    return Exemplars(patches, inputs.detector.reconstruct(patches), titles)


def pick_features(
    inputs: FigureInputs, test: TestScores, points: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return f(x) of up to `points` test patches, half of them normal, and which are normal."""
    generator = np.random.default_rng(seed)
    kinds = (np.flatnonzero(test.normal), np.flatnonzero(~test.normal))
    rows = np.sort(np.concatenate([_sample(kind, points // 2, generator) for kind in kinds]))
    patches = read_rows(inputs.store, rows)
    return inputs.detector.features(patches), test.normal[rows]


def pick_scans(inputs: FigureInputs, test: TestScores) -> list[ScoredScan]:
    """Return the first test scan of each combination of classes, with heat; normal comes first.

    Scans that extraction left out have no scores, so they are left out here as well.
    """
    scored = set(test.scan_ids.tolist())
    first: dict[tuple[str, ...], CatalogueRow] = {}
    for row in inputs.scans:
        if row.scan_id in scored:
            first.setdefault(row.classes, row)
    return [with_heat(row, inputs, test) for _, row in sorted(first.items())]


def with_heat(row: CatalogueRow, inputs: FigureInputs, test: TestScores) -> ScoredScan:
    """Return one scan with heat: the mean score of a pixel's windows, divided by the threshold."""
    scan = inputs.source.read(row.entry())
    height, width = scan.image.shape[:2]
    own = test.scan_ids == row.scan_id
    scores = test.scores[ANOMALY][own] / inputs.threshold
    heat = stitch(scores, inputs.store.origins[own], inputs.store.side, height, width)
    threats = np.zeros((height, width), dtype=np.bool_)
    for region in scan.regions:
        threats |= region.mask & (region.class_name != IGNORED)
    title = ", ".join(row.classes).replace("_", " ") or NORMAL
    return ScoredScan(f"{title} ({row.scan_id})", scan.image, heat, threats)


def _sample(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    return generator.permutation(rows)[:count]
