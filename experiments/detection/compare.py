"""Compares trained scores with scores that need none, on labelled validation scans (README.md).

    dvc repro extract
    python -m experiments.detection.compare --patches data/patches --ngf 16 --epochs 1 \
        --learning-rate 1e-3

Scores the windows of the labelled validation scans by Skip-GANomaly as printed, and by the distance
to the nearest training normals in four spaces: f(x), the discriminator's first convolution (early
neighbours), the same convolution of untrained networks, and 8x8 pixels. A model that does not
beat the last two has learned nothing from training. If no validation scan has a threat, use
`--projected` to lay threats over normal scans (`experiments.detection.projection`). Reads no test
part, and needs neither Ray, MLflow nor DVC.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.array_store import ArrayStore
from experiments.baselines import without_model
from experiments.detection.judging import WindowLabels, require_labels, scores_text, window_auc
from experiments.detection.projection import compressed, projected
from experiments.paper.cell_runner import add_size_options, size_of
from experiments.paper.cells import SEEDS, Size, settings_of
from experiments.paper.table2 import store_of
from experiments.run import run_main
from pipeline.common.names import LABELLED_VALIDATION, TRAIN, VALIDATION, Patches, Scores
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.models.detector import SCORE_BATCH, Detector, fitted_detector
from pipeline.models.gan import network_state
from pipeline.models.interface import method_of
from pipeline.models.neighbours import NeighbourDistance
from pipeline.models.pixels import to_tensor
from pipeline.patches.store import PatchSource, PatchStore, evenly_spaced, read_rows
from pipeline.settings.methods import DEFAULT_METHOD
from pipeline.settings.model import LatentScore
from pipeline.training.criterion import load_validation, training_normals
from pipeline.training.loop import CPU, TrainSettings, Worker, net_shape, train

THUMBNAIL = 8  # pixels
MAX_JUDGED = 4096  # validation normals with and without a threat over them
UNTRAINED = "early neighbours, untrained"
AS_PRINTED = "anomaly_score"

Features = NDArray[np.floating]  # (N, any length)


def neighbour_distance(features: Features, normals: Features) -> Scores:
    """Return the distance of features (N, d) to the nearest normals (M, d), (N,)."""
    distances: Scores = NeighbourDistance(torch.from_numpy(normals))(
        torch.from_numpy(features)
    ).numpy()
    return distances


def thumbnails(patches: Patches) -> Features:
    """Return patches as `THUMBNAIL` x `THUMBNAIL` means, (N, pixels), in 0 to 255."""
    count, side, _, channels = patches.shape
    cell = side // THUMBNAIL
    cells = patches.reshape(count, THUMBNAIL, cell, THUMBNAIL, cell, channels)
    return cells.mean(axis=(2, 4)).reshape(count, -1)


def trained(settings: TrainSettings, normals: PatchSource, validation: PatchSource) -> Detector:
    """Train, and return the detector of the best epoch by the criterion that needs no label."""
    criterion = load_validation(validation, settings.seed, labelled=None)
    state = train(settings, normals, criterion, Worker(), lambda _metrics, _state: None)
    shape = net_shape(settings, normals)
    fit_to = training_normals(normals)
    return fitted_detector(shape, state["best"]["networks"], settings.model, fit_to, CPU)


def scored_by(settings: TrainSettings, latent_score: LatentScore) -> TrainSettings:
    """Return the same settings, scored by a latent term alone."""
    return replace(
        settings, model=replace(settings.model, latent_score=latent_score, score_lambda=0.0)
    )


def untrained(settings: TrainSettings, normals: PatchSource, seen: Patches) -> Detector:
    """Return a detector of random networks; batch-norm has the statistics of the normals `seen`."""
    shape = net_shape(settings, normals)
    networks = method_of(settings.model).build_networks(shape, settings.seed)
    with torch.no_grad():
        for start in range(0, len(seen), SCORE_BATCH):
            x = to_tensor(seen[start : start + SCORE_BATCH], CPU)
            networks["discriminator"](networks["generator"](x))
            networks["discriminator"](x)
    return fitted_detector(shape, network_state(networks), settings.model, [seen], CPU)


@dataclass(frozen=True)
class Judged:
    """The windows that scores are judged on.

    Attributes:
        store: the patches of the windows.
        windows: their labels and scans.
    """

    store: PatchSource
    windows: WindowLabels


def labelled(folder: Path) -> Judged:
    """Return the windows of the labelled validation scans.

    Raises:
        InputError: there are no normal or no abnormal windows.
    """
    store = PatchStore(folder, LABELLED_VALIDATION)
    require_labels(store)
    return Judged(store, WindowLabels.read(store))


def laid_over(store: PatchStore) -> tuple[NDArray[np.intp], Patches, NDArray[np.bool_]]:
    """Return rows of a store (N,), their patches, and which have a threat: every other one."""
    rows = evenly_spaced(np.arange(len(store)), MAX_JUDGED)
    patches = read_rows(store, rows)
    abnormal = np.arange(len(rows)) % 2 == 1
    patches[abnormal] = projected(patches[abnormal])
    return rows, patches, abnormal


def with_projected(folder: Path) -> Judged:
    """Return some of the validation normals, with a threat laid over every other one."""
    store = PatchStore(folder, VALIDATION)
    rows, patches, abnormal = laid_over(store)
    windows = WindowLabels(abnormal, store.scan_ids[rows], store.origins[rows], store.side)
    return Judged(ArrayStore(folder, VALIDATION, compressed(patches)), windows)


def all_scores(folder: Path, judged: Judged, size: Size, seed: int) -> dict[str, Scores]:
    """Return every score of the windows, by name."""
    normals = store_of(folder, TRAIN, size.share)
    patches = judged.store.read(0, len(judged.store))
    settings = settings_of(DEFAULT_METHOD, size, seed)
    seen = np.concatenate(list(training_normals(normals)))
    early = scored_by(settings, "early_neighbours")
    validation = PatchStore(folder, VALIDATION)
    found, by_features, best = (
        trained(each, normals, validation).score([patches])
        for each in (settings, scored_by(settings, "neighbours"), early)
    )
    return {
        **without_model(judged.store, normals),
        "neighbours, 8x8 pixels": neighbour_distance(thumbnails(patches), thumbnails(seen)),
        UNTRAINED: untrained(early, normals, seen).score([patches]).anomaly,
        **found.terms,
        AS_PRINTED: found.anomaly,
        "neighbours of f(x)": by_features.anomaly,
        "early neighbours": best.anomaly,
    }


def best_trivial(scores: Mapping[str, Scores], windows: WindowLabels) -> str:
    """Return the trivial score with the highest AUC on these windows."""
    return max(TRIVIAL_SCORES, key=lambda name: window_auc(scores[name], windows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="what training adds on validation scans")
    parser.add_argument(
        "--patches", type=Path, required=True, help="folder written by the stage extract"
    )
    parser.add_argument("--projected", action="store_true", help="lay threats over normals")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    add_size_options(parser, left_out={"search_steps", "test_share"})
    return parser.parse_args()


def main() -> None:
    """Print a table for each seed."""
    arguments = _arguments()
    folder, size = arguments.patches, size_of(arguments)
    judged = with_projected(folder) if arguments.projected else labelled(folder)
    for seed in arguments.seeds:
        scores = all_scores(folder, judged, size, seed)
        lines = [best_trivial(scores, judged.windows), UNTRAINED, AS_PRINTED]
        print(f"seed {seed}")
        print(scores_text(scores, judged.windows, lines), flush=True)


if __name__ == "__main__":
    run_main(main)
