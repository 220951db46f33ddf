"""Early neighbours on CIFAR-10; each class in turn is abnormal (README.md in this folder).

    python -m experiments.detection.cifar --data path/to/cifar10 --ngf 16 --epochs 1 --share 0.5

The learning rate is 2e-3, that of the presets; `--learning-rate` changes it.

A second training of the same seed gives the scores of the method as printed. The protocol is
honest: no label decides the best epoch, and the test is scored once. Needs neither Ray, MLflow nor
DVC.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.detection.compare import scored_by, trained
from experiments.detection.judging import WindowLabels, window_auc
from experiments.paper.cell_runner import Parts, add_size_options, size_of
from experiments.paper.cells import SEEDS, Size, settings_of
from experiments.paper.table1 import Cifar
from experiments.run import run_main
from pipeline.common.metrics import percentile_interval, resampled_aucs
from pipeline.common.names import Scores
from pipeline.scans.sources.cifar10 import CLASSES
from pipeline.settings.methods import DEFAULT_METHOD

SAMPLES = 200


def scores_of(parts: Parts, size: Size, seed: int) -> tuple[Scores, Scores]:
    """Return the scores of the test split: as printed, and by early neighbours."""
    settings = settings_of(DEFAULT_METHOD, size, seed)
    printed, early = (
        trained(each, parts.train, parts.validation).score([parts.test.patches]).anomaly
        for each in (settings, scored_by(settings, "early_neighbours"))
    )
    return printed, early


def lines(data: Cifar, cases: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Yield a line for each case and seed, and then the means."""
    yield f"{'case':<8}{'seed':>5}{'as printed':>12}{'early':>8}{'early less as printed':>28}"
    found = []
    for case in cases:
        parts = data.case(case)
        windows = WindowLabels(~parts.test.normal, parts.test.scan_ids)
        for seed in seeds:
            scores = scores_of(parts, data.size, seed)
            printed, early = (window_auc(each, windows) for each in scores)
            low, high = percentile_interval(_difference(scores, windows))
            found.append((printed, early))
            difference = f"{early - printed:+.3f} [{low:+.3f} {high:+.3f}]"
            yield f"{case:<8}{seed:>5}{printed:>12.3f}{early:>8.3f}{difference:>28}"
    printed, early = np.mean(found, axis=0)
    yield f"{'mean':<13}{printed:>12.3f}{early:>8.3f}"


def _difference(scores: tuple[Scores, Scores], windows: WindowLabels) -> Scores:
    printed, early = (
        resampled_aucs(each, windows.abnormal, windows.scan_ids, SAMPLES, seed=0) for each in scores
    )
    return early - printed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="early neighbours on CIFAR-10")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10, as scans.folder")
    parser.add_argument("--cases", nargs="+", choices=CLASSES, default=CLASSES)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    add_size_options(parser, left_out={"search_steps"})
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    arguments = _arguments()
    data = Cifar(arguments.data, size_of(arguments))
    for line in lines(data, arguments.cases, arguments.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    run_main(main)
