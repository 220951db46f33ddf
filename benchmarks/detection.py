"""What training adds on labelled validation scans, beside what needs none (`docs/detection.md`).

    dvc repro extract
    python -m benchmarks.detection --patches data/patches --ngf 16 --epochs 2 --learning-rate 1e-3

Scores the windows of the labelled validation scans by Skip-GANomaly as printed, and by the distance
to the nearest training normals: as features f(x) of the trained discriminator, which is the preset
`best`, of one that was never trained, and as 8x8 pixels. A model that does not pass the last two
has not been taught by its training. Reads no test part, and needs neither Ray, MLflow nor DVC.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.cells import SEEDS, Size, settings_of
from benchmarks.judging import Scores, Windows, require_labels, table
from pipeline.errors import InputError
from pipeline.evaluation import without_model
from pipeline.models.gan import network_state
from pipeline.models.interface import method_of
from pipeline.models.neighbours import NormalFeatures
from pipeline.models.registry import DEFAULT_METHOD
from pipeline.patch_store import PatchStore
from pipeline.scoring import SCORE_BATCH, Detector, Patches, build_detector, to_tensor
from pipeline.selection import load_validation, spread_normals, training_normals
from pipeline.splits import LABELLED_VALIDATION, TRAIN, VALIDATION
from pipeline.training import CPU, TrainSettings, Worker, net_shape, train
from pipeline.trivial_scores import TRIVIAL_SCORES

THUMBNAIL = 8  # pixels
UNTRAINED = "neighbours, untrained"
AS_PRINTED = "anomaly_score"

Features = NDArray[np.floating]  # (N, any length)


def neighbour_distance(features: Features, normals: Features) -> Scores:
    """The score of the preset `best`, of any features; (N,)."""
    distances: Scores = NormalFeatures(torch.from_numpy(normals))(
        torch.from_numpy(features)
    ).numpy()
    return distances


def thumbnails(patches: Patches) -> Features:
    """Patches as `THUMBNAIL` x `THUMBNAIL` means, (N, their pixels), in 0 to 255."""
    count, side, _, channels = patches.shape
    cell = side // THUMBNAIL
    cells = patches.reshape(count, THUMBNAIL, cell, THUMBNAIL, cell, channels)
    return cells.mean(axis=(2, 4)).reshape(count, -1)


def trained(settings: TrainSettings, normals: PatchStore, validation: PatchStore) -> Detector:
    """The best epoch by the criterion that needs no label."""
    criterion = load_validation(validation, settings.seed, labelled=None)
    state = train(settings, normals, criterion, Worker(), lambda _metrics, _state: None)
    shape = net_shape(settings, normals)
    seen = training_normals(normals, settings.model)
    return build_detector(shape, state["best"]["networks"], settings.model, CPU, seen)


def best_of(settings: TrainSettings) -> TrainSettings:
    """The same with what the preset `best` changes."""
    model = replace(settings.model, latent_score="neighbours", score_lambda=0.0)
    return replace(settings, model=model)


def untrained(settings: TrainSettings, normals: PatchStore, seen: Patches) -> Detector:
    """Networks as they are drawn; batch-norm has the statistics of the normals `seen`."""
    shape = net_shape(settings, normals)
    networks = method_of(settings.model).build_networks(shape, settings.seed)
    with torch.no_grad():
        for start in range(0, len(seen), SCORE_BATCH):
            x = to_tensor(seen[start : start + SCORE_BATCH], CPU)
            networks["discriminator"](networks["generator"](x))
            networks["discriminator"](x)
    return build_detector(shape, network_state(networks), settings.model)


def features_of(detector: Detector, patches: Patches) -> Features:
    """f(x) of every patch."""
    starts = range(0, len(patches), SCORE_BATCH)
    return np.concatenate([detector.features(patches[s : s + SCORE_BATCH]) for s in starts])


def all_scores(folder: Path, size: Size, seed: int) -> tuple[dict[str, Scores], Windows]:
    """Every score of the labelled validation windows, by name."""
    normals, labelled = PatchStore(folder, TRAIN), PatchStore(folder, LABELLED_VALIDATION)
    patches = labelled.read(0, len(labelled))
    settings = settings_of(DEFAULT_METHOD, size, seed)
    seen = spread_normals(normals)
    plain = untrained(settings, normals, seen)
    validation = PatchStore(folder, VALIDATION)
    found = trained(settings, normals, validation).score([patches])
    scores = {
        **without_model(labelled, normals),
        "neighbours, 8x8 pixels": neighbour_distance(thumbnails(patches), thumbnails(seen)),
        UNTRAINED: neighbour_distance(features_of(plain, patches), features_of(plain, seen)),
        **found.terms,
        AS_PRINTED: found.anomaly,
        "preset best": trained(best_of(settings), normals, validation).score([patches]).anomaly,
    }
    return scores, Windows(~labelled.is_normal(), labelled.scan_ids)


def best_trivial(scores: Mapping[str, Scores], windows: Windows) -> str:
    """The trivial score with the highest AUC on these windows."""
    return max(TRIVIAL_SCORES, key=lambda name: roc_auc_score(windows.abnormal, scores[name]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="what training adds on validation scans")
    parser.add_argument("--patches", type=Path, required=True, help="what extract left")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    for name in ("ngf", "latent_dim", "epochs", "batch_size", "learning_rate"):
        value = getattr(Size(), name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser.parse_args()


def main() -> None:
    """Print a table for each seed."""
    given = vars(_arguments())
    folder, seeds = given.pop("patches"), given.pop("seeds")
    require_labels(PatchStore(folder, LABELLED_VALIDATION))
    for seed in seeds:
        scores, windows = all_scores(folder, Size(**given), seed)
        lines = [best_trivial(scores, windows), UNTRAINED, AS_PRINTED]
        print(f"seed {seed}")
        print("\n".join(table(scores, windows, lines)))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
