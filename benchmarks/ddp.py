"""Two data-parallel workers of one thread against one: patches a second, as a ratio.

    python -m benchmarks.ddp [--rounds 5] [--side 32]

Plain torch.distributed over gloo, as Ray Train sets it up. Each worker has its own batches of 64,
so a step is the same work for one worker as for two. Both cases take turns in the same processes:
while one worker trains alone, the other worker waits.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.floor import BATCH, WIDTH, paper_shape
from benchmarks.timing import Row, print_rows, summary
from benchmarks.train_step import LOSSES, model_settings, some_patches
from pipeline.models.gan import Gan, build_gan
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.methods.skip_ganomaly.step import train_step

BAR = 1.8
WORKERS = 2
STEPS = 3  # of a turn; the first is not timed


def measure(rounds: int, side: int = 32) -> list[Row]:
    """Return the benchmark row: patches a second of two workers, as a multiple of one."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(_worker, (folder, side, rounds), nprocs=WORKERS)
        alone, both = map(summary, torch.load(Path(folder) / "seconds.pt"))
    detail = f"one {alone} a step, two {both}, each worker {BATCH} patches"
    ratio = WORKERS * alone.median / both.median
    return [Row(f"2 workers x 1 thread, {side} px", ratio, BAR, detail)]


def _worker(rank: int, folder: str, side: int, rounds: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORKERS
    )
    alone, shared = _model(side, parallel=False), _model(side, parallel=True)
    x = some_patches(side).contiguous(memory_format=torch.channels_last)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        if rank == 0:
            seconds[0].extend(_turn(alone, x))
        torch.distributed.barrier()
        seconds[1].extend(_turn(shared, x))
        torch.distributed.barrier()
    if rank == 0:
        torch.save(seconds, Path(folder) / "seconds.pt")
    torch.distributed.destroy_process_group()


def _model(side: int, parallel: bool) -> Gan:
    networks = build_networks(paper_shape(side), seed=0)
    if not parallel:
        return build_gan(networks, model_settings(WIDTH))
    shared = {
        name: DistributedDataParallel(
            network, forward_sync_buffers=False, gradient_as_bucket_view=True
        )
        for name, network in networks.items()
    }
    return build_gan(shared, model_settings(WIDTH))


def _turn(model: Gan, x: torch.Tensor) -> list[float]:
    seconds = []
    for _ in range(STEPS):
        started = time.perf_counter()
        train_step(model, x, LOSSES)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def main() -> None:
    """Print the benchmark row."""
    parser = argparse.ArgumentParser(description="two data-parallel workers against one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=32)
    arguments = parser.parse_args()
    print_rows(measure(arguments.rounds, arguments.side))


if __name__ == "__main__":
    main()
