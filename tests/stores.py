"""Small patch stores, written as extraction writes them."""

from pathlib import Path

import numpy as np

from pipeline.common.names import TRAIN
from pipeline.patches.kept_windows import KeptWindows
from pipeline.patches.manifest import write_manifest
from pipeline.patches.shard_file import FORMAT, ShardAttributes, ShardWriter
from pipeline.patches.store import PatchStore

DATA = "0123456789abcdef0123"
ABOUT = ShardAttributes(TRAIN, {"size": 16}, 3, "pixels", "sources", "code")


def store_of(folder: Path, lengths: list[int]) -> PatchStore:
    """A store with a shard per length, whose patches count up from 0 in their first two bytes."""
    total = 0
    shards = []
    for number, length in enumerate(lengths):
        pixels = np.zeros((length, 16, 16, 3), dtype=np.uint8)
        ids = np.arange(total, total + length)
        pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = ids % 256, ids // 256
        total += length
        windows = KeptWindows(
            origins=np.zeros((length, 2), dtype=np.int32),
            labels=("normal",) * length,
            grazing=0,
            background=0,
        )
        name = f"train-{number}.h5"
        with ShardWriter(folder, 16, 3) as writer:
            writer.add_scan(f"scan-{number}", windows, [pixels[:100], pixels[100:]])
            writer.finish(folder / name, ABOUT)
        shards.append({"file": name, "windows": length})
    manifest = {
        "format": FORMAT,
        "data": DATA,
        "settings": {"size": 16},
        "channels": 3,
        "classes": ["normal"],
        "splits": {"train": {"shards": shards}},
    }
    write_manifest(folder, manifest)
    return PatchStore(folder, "train")


def ids_of(batch: np.ndarray) -> list[int]:
    found: list[int] = (
        batch[:, 0, 0, 0].astype(int) + 256 * batch[:, 0, 0, 1].astype(int)
    ).tolist()
    return found
