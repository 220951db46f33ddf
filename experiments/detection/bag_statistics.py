"""Which statistic of a bag's windows tells bags with a threat? AUC of five, on labelled validation.

    python -m experiments.detection.bag_statistics --seeds 1 2 3 4 5 6 7 8

For each seed, cuts generated scans into `work/bag_statistics/SEED`, turns the scores of the windows
of the labelled validation scans into p-values among validation normals, and pools the bags of all
seeds. With `--epochs` it also trains the method as printed and early neighbours on each seed, in
one process. Reads no test split.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.baselines import without_model
from experiments.detection.compare import AS_PRINTED, scored_by, trained
from experiments.detection.judging import require_labels
from experiments.paper.cells import Size, settings_of
from experiments.run import run_main
from pipeline.common.metrics import AucEstimate, auc_by_scan
from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION, Scores
from pipeline.common.p_values import RightTail
from pipeline.common.tables import text_table
from pipeline.models.bag_scores import rows_by_scan
from pipeline.patches.extraction import extract_patches
from pipeline.patches.store import PatchStore
from pipeline.scans.catalogue import write_catalogue
from pipeline.scans.generated.coco import generate
from pipeline.scans.sources.registry import GENERATED, open_source
from pipeline.scans.splits import split_scans
from pipeline.settings.methods import DEFAULT_METHOD
from pipeline.settings.params import load_settings

SAMPLES = 1000
NGF, LEARNING_RATE = 8, 2e-3  # of the preset `demo`

Statistic = Callable[[Scores], float]  # of a bag's p-values, ascending


def mean_of_smallest(count: int | None) -> Statistic:
    """Return the mean of -log p over the `count` smallest p-values; of all, it is Fisher's."""
    return lambda p_values: float(-np.log(p_values[:count]).mean())


def higher_criticism(p_values: Scores) -> float:
    """Return how far small p-values are more frequent than chance (Donoho and Jin, 2004).

    The highest standardised difference between the share of p-values up to p and p itself, over the
    smaller half of them.
    """
    count = len(p_values)
    share = np.arange(1, count + 1) / count
    half = slice(0, max(count // 2, 1))
    spread = np.sqrt(np.maximum(p_values * (1 - p_values), 1e-12))
    return float((np.sqrt(count) * (share - p_values) / spread)[half].max())


STATISTICS: dict[str, Statistic] = {
    "maximum": mean_of_smallest(1),
    "mean of top 5": mean_of_smallest(5),
    "mean of top 20": mean_of_smallest(20),
    "Fisher": mean_of_smallest(None),
    "higher criticism": higher_criticism,
}


def generated_patches(folder: Path, seed: int) -> Path:
    """Cut the generated scans of a seed, as the stages `scans` and `extract` do."""
    settings = load_settings()
    scans, patches = replace(settings.scans, seed=seed), folder / "patches"
    generate(folder / GENERATED, seed, scans.count)
    source = open_source(scans, folder)
    entries = source.listing().entries
    rows = write_catalogue(folder, entries, split_scans(entries, scans, seed, {}))
    extract_patches(patches, rows, source, settings.extract)
    return patches


def window_scores(patches: Path, seed: int, epochs: int) -> dict[str, tuple[Scores, Scores]]:
    """Return each score of the validation normals and of the labelled windows."""
    normals, validation, labelled = (
        PatchStore(patches, split) for split in (TRAIN, VALIDATION, LABELLED_VALIDATION)
    )
    require_labels(labelled)
    found = [without_model(store, normals) for store in (validation, labelled)]
    if epochs:
        size = Size(ngf=NGF, epochs=epochs, learning_rate=LEARNING_RATE)
        settings = settings_of(DEFAULT_METHOD, size, seed)
        for name, each in (
            (AS_PRINTED, settings),
            ("early neighbours", scored_by(settings, "early_neighbours")),
        ):
            detector = trained(each, normals, validation)
            for scores, store in zip(found, (validation, labelled), strict=True):
                scores[name] = detector.score(store.blocks()).anomaly
    return {name: (found[0][name], found[1][name]) for name in found[0]}


def main() -> None:
    """Print a table: a row per score, a column per statistic."""
    parser = argparse.ArgumentParser(description="AUC of bags by statistics of their windows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int, default=0, help="of trainings; 0: no model")
    arguments = parser.parse_args()
    bags: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    threat: list[bool] = []
    for seed in tqdm(arguments.seeds, "seeds", unit="seed"):
        patches = generated_patches(Path("work/bag_statistics") / str(seed), seed)
        labelled = PatchStore(patches, LABELLED_VALIDATION)
        scans, normal = rows_by_scan(labelled.scan_ids).values(), labelled.is_normal()
        threat += [not normal[rows].all() for rows in scans]
        for score, (of_normals, values) in window_scores(patches, seed, arguments.epochs).items():
            p_values = RightTail.of(of_normals).p_values(values)
            for rows in scans:
                own = np.sort(p_values[rows])
                for name, statistic in STATISTICS.items():
                    bags[score][name].append(statistic(own))
    table = [
        [score, *(_estimate(found[name], threat) for name in STATISTICS)]
        for score, found in bags.items()
    ]
    print(text_table(["AUC of bags", *STATISTICS], table))
    print(f"{sum(threat)} bags with a threat, {len(threat) - sum(threat)} without")


def _estimate(values: list[float], threat: list[bool]) -> AucEstimate:
    """Return the AUC with its interval; every bag is resampled by itself."""
    ids = np.arange(len(values)).astype(np.str_)
    return auc_by_scan(np.array(values), np.array(threat), ids, SAMPLES, 0)


if __name__ == "__main__":
    run_main(main)
