"""Picks what the figures show: exemplar patches, points for t-SNE, and whole scans with heat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import IGNORED, NORMAL
from pipeline.evaluation.evaluate import ANOMALY, TestScores
from pipeline.evaluation.figures import Exemplars, ScoredScan
from pipeline.models.detector import Calibration, Detector
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import cut_windows, stitch
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.scan import ScanSource
from pipeline.settings.windows import WindowRule

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class ScanScorer:
    """What scoring whole test scans takes: where they are, how they are cut, and the model."""

    rows: Sequence[CatalogueRow]
    source: ScanSource
    rule: WindowRule
    detector: Detector
    calibration: Calibration


def pick_exemplars(
    store: PatchStore, test: TestScores, detector: Detector, count: int, seed: int
) -> Exemplars:
    """`count` random normal and as many abnormal patches, of the classes in turn."""
    generator = np.random.default_rng(seed)
    classes = sorted(set(test.labels.tolist()) - {NORMAL})
    normal = _sample(np.flatnonzero(test.normal), count, generator)
    each = -(-count // max(len(classes), 1))  # rounded up, then cut to `count`
    abnormal = [_sample(np.flatnonzero(test.labels == name), each, generator) for name in classes]
    rows = np.concatenate([normal, np.concatenate([normal[:0], *abnormal])[:count]])
    patches = np.concatenate([store.read(row, row + 1) for row in rows.tolist()])
    titles = [
        f"{test.labels[row].replace('_', ' ')}\n{test.scores[ANOMALY][row]:.2f}" for row in rows
    ]
    return Exemplars(patches, detector.reconstruct(patches), titles)


def pick_features(
    store: PatchStore, test: TestScores, detector: Detector, points: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """f(x) of up to `points` test patches, half of them normal, and which are normal."""
    generator = np.random.default_rng(seed)
    kinds = (np.flatnonzero(test.normal), np.flatnonzero(~test.normal))
    rows = np.sort(np.concatenate([_sample(kind, points // 2, generator) for kind in kinds]))
    patches = np.concatenate([store.read(row, row + 1) for row in rows.tolist()])
    return detector.features(patches), test.normal[rows]


def pick_scans(scorer: ScanScorer, test: TestScores) -> list[ScoredScan]:
    """The first test scan of each combination of classes, with heat; normal comes first.

    Scans that extraction left out have no scores, and are left out here.
    """
    scored = set(test.scan_ids.tolist())
    first: dict[tuple[str, ...], CatalogueRow] = {}
    for row in scorer.rows:
        if row.scan_id in scored:
            first.setdefault(row.classes, row)
    return [score_scan(row, scorer) for _, row in sorted(first.items())]


def score_scan(row: CatalogueRow, scorer: ScanScorer) -> ScoredScan:
    """One scan with the mean score of the windows over each pixel, over the threshold."""
    scan = scorer.source.read(row.entry())
    height, width = scan.image.shape[:2]
    windows = cut_windows(scan, scorer.rule)
    scores = scorer.calibration.scale(scorer.detector.score([windows.pixels]).anomaly)
    threats = np.zeros((height, width), dtype=np.bool_)
    for region in scan.regions:
        threats |= region.mask & (region.class_name != IGNORED)
    heat = stitch(scores, windows.origins, scorer.rule.size, height, width)
    title = ", ".join(row.classes).replace("_", " ") or NORMAL
    heat /= np.float32(scorer.calibration.scaled_threshold)
    return ScoredScan(f"{title} ({row.scan_id})", scan.image, heat, threats)


def _sample(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    return generator.permutation(rows)[:count]
