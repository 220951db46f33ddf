"""The test bags with the scores of all their windows, for `bag_metrics.py`.

All windows but background count, also those that graze a threat, as they do when a bag is screened.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import NORMAL, Image, Patches, Scores
from pipeline.common.p_values import RightTail
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.scores import ANOMALY, WindowScores
from pipeline.models.bag_scores import Tails, rows_by_scan
from pipeline.pages.pictures import heat_levels
from pipeline.patches.windows import (
    GRAZING,
    foreground_origins,
    label_windows,
    stitch,
    window_pixels,
    window_sums,
)
from pipeline.screening.image_screener import evidence_map

BINS = 1000  # of -log p of a pixel, from 0 to its highest

ScorePatches = Callable[[Patches], Mapping[str, Scores]]


@dataclass(frozen=True)
class ScoredBag:
    """A test scan with all its windows but background.

    Attributes:
        scan_id: the scan's id.
        origins: (N, 2) of the windows.
        size: the windows' side in pixels.
        scores: (N,) scores of the windows, by the score's name.
        normal, abnormal: (N,) True on windows that are normal, and that are of a threat. Windows
            that graze a threat are neither.
        touches: (N,) True on windows that touch a threat.
        pixel_histograms: by the score's name, (2, BINS): histograms of -log p in the stitched map,
            of the pixels without a threat, and of the threats' pixels.
    """

    scan_id: str
    origins: NDArray[np.int32]
    size: int
    scores: Mapping[str, Scores]
    normal: NDArray[np.bool_]
    abnormal: NDArray[np.bool_]
    touches: NDArray[np.bool_]
    pixel_histograms: Mapping[str, NDArray[np.int64]]

    @property
    def has_threat(self) -> bool:
        """Whether the scan has a threat."""
        return any(bool(counts[1].any()) for counts in self.pixel_histograms.values())


def scored_bags(
    inputs: EvaluationInputs, test: WindowScores, tails: Mapping[str, Tails], score: ScorePatches
) -> Iterator[ScoredBag]:
    """Yield the test scans with the scores of all their windows but background.

    The windows of the store have their scores already. Those that graze a threat get theirs by
    `score`. Scans that extraction left out are left out here as well.
    """
    rows_of = rows_by_scan(test.scan_ids)
    for row in inputs.scans:
        rows = rows_of.get(row.scan_id)
        if rows is None:
            continue
        scan = inputs.source.read(row.entry())
        height, width = scan.image.shape[:2]
        rule = inputs.rule
        origins = foreground_origins(scan.image, rule)
        stored = {tuple(inputs.store.origins[n].tolist()): n for n in rows.tolist()}
        stored_rows = np.array([stored.get(tuple(origin), -1) for origin in origins.tolist()])
        others = score(window_pixels(scan.image, origins[stored_rows < 0], rule))
        scores = {}
        for name, values in test.scores.items():
            scores[name] = values[stored_rows]
            scores[name][stored_rows < 0] = others[name]
        labels = np.array(label_windows(scan, origins, rule))
        threats = scan.threats()
        p_values = [tails[name].windows.p_values(values) for name, values in scores.items()]
        evidence = stitch(-np.log(np.stack(p_values, 1)), origins, rule.size, height, width)
        histograms = {
            name: _pixel_histograms(evidence[:, :, column], threats, tails[name].windows)
            for column, name in enumerate(scores)
        }
        yield ScoredBag(
            row.scan_id,
            origins,
            rule.size,
            scores,
            normal=labels == NORMAL,
            abnormal=(labels != NORMAL) & (labels != GRAZING),
            touches=window_sums(threats, origins, rule.size) > 0,
            pixel_histograms=histograms,
        )


def heat_of(image: Image, bag: ScoredBag, tails: Tails) -> NDArray[np.uint8]:
    """Return the strength of heat on a bag's image, (H, W), 0 to 255, by the anomaly score."""
    p_values = tails.windows.p_values(bag.scores[ANOMALY])
    return heat_levels(evidence_map(image, p_values, bag.origins, bag.size))


def tails_of(validation: WindowScores) -> dict[str, Tails]:
    """Return the tails of each score of validation windows, normal or on ignored objects."""
    return {
        name: Tails.of(scores, validation.scan_ids, validation.normal)
        for name, scores in validation.scores.items()
    }


def _pixel_histograms(
    evidence: NDArray[np.float32], threats: NDArray[np.bool_], windows: RightTail
) -> NDArray[np.int64]:
    """Count the pixels of a stitched map of -log p by bin: without and with threat, (2, BINS)."""
    highest = np.log(1 + windows.count)
    bins = (np.nan_to_num(evidence) / highest * (BINS - 1)).astype(np.int64)
    return np.stack([np.bincount(bins[kind], minlength=BINS) for kind in (~threats, threats)])
