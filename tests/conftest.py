import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from pipeline.patches.extraction import extract_patches
from pipeline.scans.catalogue import CatalogueRow, read_catalogue, write_catalogue
from pipeline.scans.sources.cifar10 import BINARY, CLASSES, SIDE
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.scans.splits import split_scans
from pipeline.settings.model import LossSettings, ModelSettings
from pipeline.settings.params import ExtractSettings
from pipeline.settings.scans import SplitShares
from pipeline.training.loop import TrainSettings

settings.register_profile("skipscan", deadline=None, max_examples=50)  # the machine may be busy
settings.load_profile("skipscan")

SHARES = SplitShares(validation=0.25, test_normal=0.25, labelled_validation=0.3)
EXTRACT = ExtractSettings(size=16, stride=8, shard_scans=2)
MODEL = ModelSettings(
    ngf=4, ndf=4, batch_size=16, learning_rate=2e-3, beta1=0.5, beta2=0.999, score_lambda=0.9
)
LOSSES = LossSettings(lambda_adv=1, lambda_con=40, lambda_lat=1, latent_dim=10)
TRAIN = TrainSettings(model=MODEL, losses=LOSSES, epochs=2, seed=3)


def pytest_configure() -> None:
    """Compute on one thread, in the processes that tests start too.

    The networks of tests are so small that threads mostly wait for each other, and where several
    processes are at work that takes many times as long.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # a process more for each training
    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.5"  # a training has ended that much sooner
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the file that waits most of its time, for a Ray that is not there."""
    items.sort(key=lambda item: item.path.name != "test_ray_cluster.py")


class FilesAndFolders(LoadFileScheduling):  # type: ignore[misc]
    """Sends the tests of a file to one process, and those of `tests/on_ray`, which share a Ray."""

    def _split_scope(self, nodeid: str) -> str:
        return (
            "tests/on_ray" if nodeid.startswith("tests/on_ray/") else super()._split_scope(nodeid)
        )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesAndFolders | None:
    """Replace the scheduler of `--dist loadfile`."""
    return FilesAndFolders(config, log) if config.getvalue("dist") == "loadfile" else None


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


@pytest.fixture(scope="session")
def sixray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sixray(tmp_path_factory.mktemp("sixray"))


@pytest.fixture(scope="session")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10's binary batches, 20 images of noise in each."""
    folder = tmp_path_factory.mktemp("cifar")
    generator = np.random.default_rng(0)
    for names in BINARY.values():
        for name in names:
            rows = generator.integers(0, 256, (20, 1 + 3 * SIDE * SIDE), dtype=np.uint8)
            rows[:, 0] = np.arange(20) % len(CLASSES)
            rows.tofile(folder / name)
    return folder


@pytest.fixture(scope="session")
def catalogue(sixray: Path, tmp_path_factory: pytest.TempPathFactory) -> list[CatalogueRow]:
    folder = tmp_path_factory.mktemp("scans")
    entries = MasksSource(sixray, SIXRAY, stretched=True).listing().entries
    write_catalogue(folder, entries, split_scans(entries, SHARES, 0, {}))
    return read_catalogue(folder)


@pytest.fixture(scope="session")
def patches(
    sixray: Path, catalogue: list[CatalogueRow], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("patches")
    extract_patches(folder, catalogue, MasksSource(sixray, SIXRAY, stretched=True), EXTRACT)
    return folder
