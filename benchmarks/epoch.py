"""An epoch from HDF5 shards against the same steps fed from memory: patches a second, as a ratio.

    python -m benchmarks.epoch [--threads 2] [--cpu-time]

The networks have the demo's width, whose step is so short that reading 64-pixel patches matters
most. The measured part of an epoch is one filling of the reader's buffer.
"""

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.floor import BATCH, LATENT_DIM
from benchmarks.read import make_store
from benchmarks.timing import Clock, Row, alternate, parse_arguments, print_rows
from benchmarks.train_step import CPU, LOSSES, model_settings
from pipeline.models.gan import Gan, build_gan
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.methods.skip_ganomaly.step import train_step
from pipeline.models.nets import NetShape
from pipeline.models.pixels import to_tensor
from pipeline.patches.batches import BUFFER_BLOCKS, ShuffledReader
from pipeline.patches.shard_file import BLOCK_ROWS

SIDE, PATCHES = 64, 8192
DEMO_WIDTH = 8
BATCHES = BUFFER_BLOCKS * BLOCK_ROWS // BATCH
BAR = 0.95


def epoch(model: Gan, batches: Callable[[], Iterable[NDArray[np.uint8]]]) -> Callable[[], object]:
    """Return an action: the first steps of an epoch."""

    def run() -> None:
        for batch in islice(batches(), BATCHES):
            train_step(model, to_tensor(batch, CPU), LOSSES)

    return run


def measure(rounds: int, clock: Clock) -> list[Row]:
    """Return the benchmark row: the speed from shards, as a share of that from memory."""
    with tempfile.TemporaryDirectory() as folder:
        reader = ShuffledReader(make_store(Path(folder), PATCHES), BATCH, 0, 1, seed=0)
        shape = NetShape(SIDE, 3, DEMO_WIDTH, DEMO_WIDTH, LATENT_DIM)
        model = build_gan(build_networks(shape, 0), model_settings(DEMO_WIDTH))
        held = [batch.copy() for batch in islice(reader.epoch(0), BATCHES)]
        rivals = {
            "memory": epoch(model, partial(iter, held)),
            "shards": epoch(model, partial(reader.epoch, 0)),
        }
        found = alternate(rivals, rounds, clock)
    detail = f"memory {found['memory']}, shards {found['shards']}, {BATCHES} batches"
    ratio = found["memory"].median / found["shards"].median
    return [Row(f"epoch from shards, {SIDE} px", ratio, BAR, detail)]


def main() -> None:
    """Print the benchmark row."""
    arguments = parse_arguments("an epoch from shards against one from memory")
    print_rows(measure(arguments.rounds, arguments.clock))


if __name__ == "__main__":
    main()
