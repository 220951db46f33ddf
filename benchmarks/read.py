"""The speed of shuffled reading, against one-row reads, memory, and the training's consumption.

    python -m benchmarks.read [--patches 32768] [--rounds 5] [--folder FOLDER]

Writes patches of 64x64x3 as 16 shards into a temporary folder below `--folder`. Then these take
turns, `--rounds` times: batches of 64 in random order by our reader (which verifies checksums), a
row at a time from the same files (without checksums), and from an array in memory; and a training
step of the paper's model (ngf = ndf = 64). Compares medians. The files are in the system's cache.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.floor import BATCH, WIDTH, paper_shape
from benchmarks.train_step import CPU, LOSSES, model_settings
from pipeline.common.files import digest
from pipeline.common.names import NORMAL, TRAIN
from pipeline.models.gan import Gan, build_gan
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.methods.skip_ganomaly.step import train_step
from pipeline.models.pixels import to_tensor
from pipeline.patches.batches import ShuffledReader
from pipeline.patches.kept_windows import KeptWindows
from pipeline.patches.manifest import write_manifest
from pipeline.patches.shard_file import FORMAT, ShardAttributes, ShardWriter
from pipeline.patches.store import PatchStore

SIDE, SHARDS = 64, 16
TIMES_THE_STEP = 20.0  # the bar


def main() -> int:
    """Print the table; return 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description="speed of reading")
    parser.add_argument("--patches", type=int, default=32768)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("work"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        return measure(make_store(Path(folder), arguments.patches), arguments.rounds)


def measure(store: PatchStore, rounds: int) -> int:
    """Time all rivals in turn; return 1 if the bar is missed."""
    reader = ShuffledReader(store, BATCH, rank=0, world_size=1, seed=0)
    memory = np.concatenate(list(store.blocks()))
    order = np.random.default_rng(0).permutation(len(memory))
    model = build_gan(build_networks(paper_shape(SIDE), seed=0), model_settings(WIDTH))
    ways: dict[str, Callable[[], int]] = {
        "one row at a time": lambda: one_by_one(store, order[: len(order) // 4]),
        "ours": lambda: sum(len(batch) for batch in reader.epoch(0)),
        "memory": lambda: from_memory(memory, order),
        "training step": lambda: step(model, memory[:BATCH]),
    }
    step(model, memory[:BATCH])  # the first is slower
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            rates[name].append(way() / (time.perf_counter() - started))
    return judge({name: statistics.median(found) for name, found in rates.items()})


def judge(rates: dict[str, float]) -> int:
    """Print medians, and ours as a multiple of each; return 1 if the bar is missed."""
    for name, found in rates.items():
        print(f"{name:<18} {found:>9.0f} patches/s   ours / this {rates['ours'] / found:>9.2f}")
    times = rates["ours"] / rates["training step"]
    print(f"ours is {times:.0f} times what a training step eats   (bar {TIMES_THE_STEP:.0f})")
    return int(times < TIMES_THE_STEP)


def one_by_one(store: PatchStore, order: np.ndarray) -> int:
    """Read rows in a random order from all shards, which stay open; return their number."""
    files = [h5py.File(path, "r") for path in sorted(store.folder.glob("*.h5"))]
    each = len(store) // SHARDS
    for start in range(0, len(order), BATCH):
        np.stack([files[row // each]["patches"][row % each] for row in order[start:][:BATCH]])
    return len(order)


def from_memory(memory: np.ndarray, order: np.ndarray) -> int:
    """Gather batches from one array; return the number of patches."""
    for start in range(0, len(order), BATCH):
        memory[order[start : start + BATCH]]
    return len(order)


def step(model: Gan, batch: np.ndarray) -> int:
    """Train one step; return the number of patches."""
    train_step(model, to_tensor(batch, CPU), LOSSES)
    return len(batch)


def make_store(folder: Path, patches: int) -> PatchStore:
    """Write shards of noise, all normal and for training, and return their store."""
    shards = [write_shard(folder, TRAIN, i, (NORMAL,) * (patches // SHARDS)) for i in range(SHARDS)]
    write_splits(folder, {TRAIN: shards})
    return PatchStore(folder, TRAIN)


def write_shard(folder: Path, split: str, number: int, labels: tuple[str, ...]) -> dict[str, Any]:
    """Write a shard of noise, a patch for each label; return its entry in the manifest."""
    count, name = len(labels), f"{split}-{number:02d}.h5"
    generator = np.random.default_rng(number)
    pixels = generator.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    origins = np.zeros((count, 2), np.int32)
    with ShardWriter(folder, SIDE, 3) as writer:
        writer.add_scan(name, KeptWindows(origins, labels, 0, 0), [pixels])
        writer.finish(folder / name, ShardAttributes(split, {"size": SIDE}, 3, "", "", ""))
    return {"file": name, "windows": count}


def write_splits(folder: Path, splits: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write the manifest of these shards."""
    manifest = {
        "format": FORMAT,
        "settings": {"size": SIDE},
        "channels": 3,
        "classes": [NORMAL],
        "data": digest(splits),
        "splits": {split: {"shards": shards} for split, shards in splits.items()},
    }
    write_manifest(folder, manifest)


if __name__ == "__main__":
    sys.exit(main())
