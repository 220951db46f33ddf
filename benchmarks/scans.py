"""Generated scans for measurements, and their catalogue rows."""

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pipeline.common.files import file_digest
from pipeline.scans.catalogue import CatalogueRow


def make_scans(folder: Path, count: int, width: int, height: int) -> list[CatalogueRow]:
    """Write scans of clutter with some fine grain, every other one PNG; return their rows."""
    folder.mkdir()
    rows = []
    for number in tqdm(range(count), desc=f"{width}x{height}", unit="scan"):
        generator = np.random.default_rng([width, number])
        coarse = generator.integers(30, 255, (height // 50, width // 50, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        grain = generator.integers(0, 6, image.shape, dtype=np.uint8)
        path = folder / f"{number:04d}.{('png', 'jpg')[number % 2]}"
        cv2.imwrite(str(path), np.maximum(image, grain) - grain)
        rows.append(CatalogueRow(path.stem, "train", (), (str(path),), (file_digest(path),)))
    return rows
