"""Picks the data of the figures: exemplar patches, points for t-SNE, whole scans under heat."""

from collections.abc import Sequence
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import NORMAL, Patches
from pipeline.evaluation.bags import ScoredBag, heat_of
from pipeline.evaluation.figures import Exemplars, ShownScan
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.scores import ANOMALY, WindowScores
from pipeline.models.bag_scores import Tails
from pipeline.pages.pictures import overlay_heat
from pipeline.patches.store import read_rows
from pipeline.patches.windows import top_non_overlapping
from pipeline.scans.display import displayable

Rows = NDArray[np.intp]

CANDIDATES = 24  # windows of a class whose threats are measured, each of which costs reading a scan
MAX_SCANS = 6  # that are shown whole
TYPICAL = (
    "Of each kind, the test scan with the median share of windows over the threshold; "
    "threats are outlined"
)
UNUSUAL = "The test windows with the highest scores; of windows that overlap, the highest"


def pick_exemplars(
    inputs: EvaluationInputs, test: WindowScores, count: int, seed: int
) -> Exemplars:
    """Pick `count` random normal patches, and as many abnormal ones or one of each class.

    The abnormal patches are taken from the classes in turn, from the patches that show most of
    their threat (`_clear_rows`).
    """
    generator = np.random.default_rng(seed)
    classes = sorted(set(test.labels.tolist()) - {NORMAL})
    normal = _sample(np.flatnonzero(test.normal), count, generator)
    by_class = [_clear_rows(inputs, test, name, generator) for name in classes]
    in_turn = chain.from_iterable(zip_longest(*by_class))
    abnormal = [row for row in in_turn if row is not None][: max(count, len(classes))]
    abnormal.sort(key=lambda row: str(test.labels[row]))
    rule = "Random normal windows" + " and windows of each class" * bool(abnormal)
    if abnormal and inputs.scans:
        rule += ", these of the quarter that the threat covers most"
    caption = f"{rule}. The score is over each; threshold {inputs.threshold:.2f}"
    rows = [*normal.tolist(), *abnormal]
    names = [str(test.labels[row]).replace("_", " ") for row in rows]
    return _exemplars(inputs, test, rows, names, caption)


def pick_unusual(inputs: EvaluationInputs, test: WindowScores, count: int) -> Exemplars:
    """Pick the `count` patches with the highest scores, of which none overlap."""
    side = inputs.store.side
    _, scan = np.unique(test.scan_ids, return_inverse=True)
    # Windows of two scans are apart.
    positions = np.column_stack([scan * side, inputs.store.origins])
    rows = top_non_overlapping(test.scores[ANOMALY], positions, side, count)
    names = [str(test.scan_ids[row]) for row in rows]
    return _exemplars(inputs, test, rows, names, f"{UNUSUAL}; threshold {inputs.threshold:.2f}")


def pick_features(
    inputs: EvaluationInputs, test: WindowScores, points: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return features of up to `points` test patches, half of them normal, and which are normal."""
    generator = np.random.default_rng(seed)
    kinds = (np.flatnonzero(test.normal), np.flatnonzero(~test.normal))
    rows = np.sort(np.concatenate([_sample(kind, points // 2, generator) for kind in kinds]))
    patches = read_rows(inputs.store, rows)
    return inputs.detector.features(patches), test.normal[rows]


def pick_scans(
    inputs: EvaluationInputs, bags: Sequence[ScoredBag], tails: Tails
) -> list[ShownScan]:
    """Return a test scan of each combination of classes; normal comes first.

    The scan is the one with the median share of windows over the threshold, by the scores alone.
    The rarest combinations are left out if there are more than `MAX_SCANS`.
    """
    rows = {row.scan_id: row for row in inputs.scans}
    kinds: dict[tuple[str, ...], list[tuple[float, ScoredBag]]] = {}
    for bag in bags:
        share = float((bag.scores[ANOMALY] > inputs.threshold).mean())
        kinds.setdefault(rows[bag.scan_id].classes, []).append((share, bag))
    most = sorted(kinds, key=lambda classes: (classes != (), -len(kinds[classes])))[:MAX_SCANS]
    picked = []
    for classes in sorted(most):
        ordered = sorted(kinds[classes], key=lambda pair: pair[0])
        share, bag = ordered[(len(ordered) - 1) // 2]
        scan = inputs.source.read(rows[bag.scan_id].entry())
        image = displayable(scan.image)
        hot = overlay_heat(image, heat_of(scan.image, bag, tails))
        name = ", ".join(classes).replace("_", " ") or NORMAL
        title = f"{name} ({bag.scan_id})\n{share:.0%} of windows over"
        picked.append(ShownScan(title, image, hot, scan.threats()))
    return picked


def _exemplars(
    inputs: EvaluationInputs,
    test: WindowScores,
    rows: Sequence[int],
    names: Sequence[str],
    caption: str,
) -> Exemplars:
    patches = read_rows(inputs.store, np.array(rows, dtype=np.intp))
    scores = test.scores[ANOMALY][list(rows)].tolist()
    titles = [
        f"{name}\n{score:.2f}{' over' * (score > inputs.threshold)}"
        for name, score in zip(names, scores, strict=True)
    ]
    reconstructions = inputs.detector.reconstruct(patches)
    if not inputs.scans:
        return Exemplars(patches, reconstructions, titles, caption)
    around, threats = _surroundings(inputs, test, rows)
    return Exemplars(patches, reconstructions, titles, caption, around, threats)


def _clear_rows(
    inputs: EvaluationInputs, test: WindowScores, name: str, generator: np.random.Generator
) -> list[int]:
    """Return the quarter of some random patches of a class that its threat covers most.

    The order is random. If each patch is a whole scan, all patches of the sample are returned.
    """
    rows = _sample(np.flatnonzero(test.labels == name), CANDIDATES, generator).tolist()
    if not inputs.scans:
        return rows
    side = inputs.store.side
    _, threats = _surroundings(inputs, test, rows)
    covered = threats[:, side : 2 * side, side : 2 * side].mean(axis=(1, 2))
    least = np.quantile(covered, 0.75)
    return [row for row, share in zip(rows, covered, strict=True) if share >= least]


def _surroundings(
    inputs: EvaluationInputs, test: WindowScores, rows: Sequence[int]
) -> tuple[Patches, NDArray[np.bool_]]:
    """Return the scan around some patches, (N, 3S, 3S, C), and the threats in it, (N, 3S, 3S).

    Each patch is in the middle; what would be outside of the scan is white, as air is.
    """
    side, channels = inputs.store.side, inputs.store.channels
    around = np.full((len(rows), 3 * side, 3 * side, channels), 255, dtype=np.uint8)
    threats = np.zeros(around.shape[:3], dtype=np.bool_)
    catalogue = {row.scan_id: row for row in inputs.scans}
    scans = test.scan_ids[list(rows)]
    for scan_id in np.unique(scans).tolist():
        scan = inputs.source.read(catalogue[scan_id].entry())
        edges = ((side, side), (side, side))
        image = np.pad(scan.image, (*edges, (0, 0)), constant_values=255)
        mask = np.pad(scan.threats(), edges)
        for number in np.flatnonzero(scans == scan_id).tolist():
            top, left = inputs.store.origins[rows[number]]
            window = np.s_[top : top + 3 * side, left : left + 3 * side]
            around[number], threats[number] = image[window], mask[window]
    return around, threats


def _sample(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    return generator.permutation(rows)[:count]
