"""The small settings and scans that most tests work on."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.patches.extraction import extract_patches
from pipeline.scans.catalogue import CatalogueRow, read_catalogue, write_catalogue
from pipeline.scans.sources.cifar10 import BATCHES, CLASSES, SIDE
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.scans.splits import split_scans
from pipeline.settings.blocks import EvaluateSettings, ExtractSettings
from pipeline.settings.model import LossSettings, ModelSettings
from pipeline.settings.scans import SplitShares
from pipeline.training.loop import TrainSettings

SHARES = SplitShares(validation=0.25, test_normal=0.25, labelled_validation=0.3)
EXTRACT = ExtractSettings(size=16, stride=12, shard_scans=2)
MODEL = ModelSettings(
    ngf=4, ndf=4, batch_size=16, learning_rate=2e-3, beta1=0.5, beta2=0.999, score_lambda=0.9
)
LOSSES = LossSettings(lambda_adv=1, lambda_con=40, lambda_lat=1, latent_dim=10)
EVALUATE = EvaluateSettings(
    bootstrap=20, tsne_points=40, exemplars=3, normal_colour="blue", abnormal_colour="red", seed=0
)
TRAIN = TrainSettings(model=MODEL, losses=LOSSES, epochs=2, seed=3)


def write_image(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def make_sixray(folder: Path, normal: int = 12, threat: int = 6) -> Path:
    """Small scans of smooth clutter; a threat is a dark bar, its mask half the scan's size."""
    generator = np.random.default_rng(0)
    for number in range(normal + threat):
        coarse = generator.integers(60, 230, size=(5, 6, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)
        if number < normal:
            write_image(folder / "normal" / f"n{number:02d}.png", image)
            continue
        mask = np.zeros((24, 32), dtype=np.uint8)
        mask[8:14, 6:18] = 1 + number % 2
        image[16:28, 12:36] = 20
        write_image(folder / "threat" / f"t{number:02d}.png", image)
        write_image(folder / "masks" / f"t{number:02d}.png", mask)
    return folder


def make_cifar(folder: Path) -> Path:
    """CIFAR-10's binary batches, 20 images of noise in each."""
    generator = np.random.default_rng(0)
    for name in BATCHES:
        rows = generator.integers(0, 256, (20, 1 + 3 * SIDE * SIDE), dtype=np.uint8)
        rows[:, 0] = np.arange(20) % len(CLASSES)
        rows.tofile(folder / f"{name}.bin")
    return folder


def make_catalogue(folder: Path, sixray: Path) -> list[CatalogueRow]:
    entries = MasksSource(sixray, SIXRAY, stretched=True).listing().entries
    write_catalogue(folder, entries, split_scans(entries, SHARES, 0, {}))
    return read_catalogue(folder)


def make_patches(
    folder: Path,
    sixray: Path,
    catalogue: list[CatalogueRow],
    settings: ExtractSettings = EXTRACT,
) -> Path:
    extract_patches(folder, catalogue, MasksSource(sixray, SIXRAY, stretched=True), settings)
    return folder
