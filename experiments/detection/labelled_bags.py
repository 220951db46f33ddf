"""Measures what labelled bags teach the score, by their number (README.md).

    python -m experiments.detection.labelled_bags --patches data/patches

Of the test's bags with a threat some are labelled, by draw. The head of the method granulometry
learns from these and from training normals; the other bags with a threat, and the scans without
one, are judged: those of the test, or of validation if the test has none. A row is a number of
labelled bags, with the mean, the lowest and the highest of all draws; if there are more than
`MAX_DRAWS`, of so many at random. *control* is the AUC of bags with their threat windows left out;
0.5 is nothing. With `--normals` the head learns from the windows of so many training scans alone.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.detection.evidence import from_test, read_in_blocks
from experiments.detection.judging import MEASURES, WindowLabels
from experiments.run import run_main
from pipeline.common.names import TRAIN
from pipeline.common.tables import text_table
from pipeline.evaluation.scores import detector_without_networks
from pipeline.models.detector import Detector
from pipeline.models.interface import MAX_REFERENCE_NORMALS
from pipeline.models.methods.granulometry import head
from pipeline.models.methods.granulometry.method import GranulometryScorer
from pipeline.patches.store import PatchSource, PatchStore, evenly_spaced

MAX_DRAWS = 70
SEED = 0
COLUMNS = ("within", "cross", "first 1", "bag AUC", "control")  # of `MEASURES`

Evidence = NDArray[np.float64]  # (N, terms), -log p in nats


@dataclass(frozen=True)
class Known:
    """The windows that the head may learn from, and those that it is judged on.

    Attributes:
        normals: evidence of training normals.
        judged: evidence of the judged windows.
        windows: their labels and scans.
    """

    normals: Evidence
    judged: Evidence
    windows: WindowLabels


def evidence_of(store: PatchSource, rows: NDArray[np.intp], detector: Detector) -> Evidence:
    """Return the evidence of some patches of a store, by the method granulometry."""
    scorer = detector.scorer
    if not isinstance(scorer, GranulometryScorer):
        raise TypeError(f"{type(scorer).__name__}, expected the method granulometry")
    features = (detector.features(patches) for patches in read_in_blocks(store, rows))
    return np.concatenate([-np.log(scorer.p_values(each)) for each in features])


def draws(count: int, labelled: int, max_draws: int) -> list[tuple[int, ...]]:
    """Return which of `count` bags are labelled: all draws, or at random `max_draws` of more."""
    if comb(count, labelled) <= max_draws:
        return list(combinations(range(count), labelled))
    rng, found = np.random.default_rng(SEED), set[tuple[int, ...]]()
    while len(found) < max_draws:
        found.add(tuple(sorted(rng.permutation(count)[:labelled].tolist())))
    return sorted(found)


def taught(known: Known, bags: Sequence[str]) -> tuple[NDArray[np.float64], WindowLabels]:
    """Return scores of the windows of all other bags, by a head that `bags` taught."""
    windows = known.windows
    seen = np.isin(windows.scan_ids, bags)
    weights, bias = head.fit(
        np.concatenate([known.normals, known.judged[seen]]),
        np.concatenate([np.zeros(len(known.normals), dtype=np.bool_), windows.abnormal[seen]]),
    )
    return known.judged[~seen] @ weights + bias, _without(windows, seen)


def rows(known: Known, counts: Sequence[int]) -> Iterator[list[str]]:
    """Yield a row for each number of labelled bags; 0 is Fisher's rule, without labels."""
    threats = known.windows.threat_scans()
    for count in counts:
        found = []
        for drawn in draws(len(threats), count, MAX_DRAWS):
            if count:
                scores, windows = taught(known, [threats[index] for index in drawn])
            else:
                scores, windows = known.judged.mean(axis=1), known.windows
            found.append([MEASURES[name](scores, windows) for name in COLUMNS])
        values = np.array(found, dtype=np.float64)
        yield [str(count), str(len(found)), *map(_spread, values.T)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="a head by the number of labelled bags")
    parser.add_argument(
        "--patches", type=Path, required=True, help="folder written by the stage extract"
    )
    parser.add_argument("--counts", nargs="+", type=int, default=[0, 1, 2, 4, 7])
    parser.add_argument("--normals", type=int, help="of how many training scans; all by default")
    arguments = parser.parse_args()
    judged, train = from_test(arguments.patches), PatchStore(arguments.patches, TRAIN)
    detector = detector_without_networks(train)
    chosen = np.unique(train.scan_ids)[: arguments.normals]
    of_chosen = np.flatnonzero(np.isin(train.scan_ids, chosen))
    known = Known(
        evidence_of(train, evenly_spaced(of_chosen, MAX_REFERENCE_NORMALS), detector),
        evidence_of(judged.store, np.arange(len(judged.store)), detector),
        judged.windows,
    )
    print(text_table(["labelled bags", "draws", *COLUMNS], list(rows(known, arguments.counts))))
    print(f"windows of {len(chosen)} training scans; mean [lowest highest] of the draws")


def _without(windows: WindowLabels, seen: NDArray[np.bool_]) -> WindowLabels:
    origins = None if windows.origins is None else windows.origins[~seen]
    return WindowLabels(windows.abnormal[~seen], windows.scan_ids[~seen], origins, windows.size)


def _spread(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.3f} [{values.min():.2f} {values.max():.2f}]"


if __name__ == "__main__":
    run_main(main)
