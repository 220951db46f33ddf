"""The speed of extraction, against a plain loop and a plain write of the same bytes.

    python -m benchmarks.extract [--scans 160] [--rounds 3] [--folder FOLDER]

The command generates scans of 1200x900 into a temporary folder below `--folder`, half PNG and half
JPEG. Then three rivals take turns, `--rounds` times, to write all windows (64 pixels, stride 32):
a loop in one process (cv2.imread, slice, one row at a time into HDF5), our extraction on all cores,
and a write of bytes in memory to one file, scan by scan. The loop and the plain write do not wait
for the disk; ours does at the end of each shard, so that a shard survives a power failure. Other
waits for the disk are not timed. It prints medians, Ray's start (once, before all) on its own, and
last the peak memory of a worker, scans of 2000x1500 included.
"""

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import ray

from benchmarks.scans import make_scans
from pipeline.cluster.session import ray_session
from pipeline.patches.extract_on_ray import cut_on_ray
from pipeline.patches.extraction import plan
from pipeline.patches.windows import window_origins
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.settings.blocks import ExtractSettings

EXTRACT = ExtractSettings(size=64, stride=32, min_foreground=0)
TIMES_THE_LOOP, OF_THE_WRITE, WORKER_BYTES = 5.0, 0.5, 2**30  # the bars
SIDE = EXTRACT.size


def main() -> int:
    """Print the table; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description="speed of extraction")
    parser.add_argument("--scans", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("work"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        return measure(Path(folder).resolve(), arguments.scans, arguments.rounds)


def measure(folder: Path, scans: int, rounds: int) -> int:
    """Generate scans, time the three rivals in turn, and return 1 if a bar is missed."""
    rows = make_scans(folder / "small", scans, 1200, 900)
    large = make_scans(folder / "large", 2 * (os.cpu_count() or 1), 2000, 1500)
    started = time.perf_counter()
    with ray_session():
        cut(large, folder)  # starts the workers
        start = time.perf_counter() - started
        ways: dict[str, Callable[[], int]] = {
            "plain loop": lambda: loop(rows, folder / "loop.h5"),
            "ours": lambda: cut(rows, folder),
            "plain write": lambda: write(rows, folder / "plain.bin"),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                rates[name].append(rate(way))
        workers = peak_memory()
    return judge({name: statistics.median(found) for name, found in rates.items()}, start, workers)


def judge(rates: dict[str, float], start: float, workers: int) -> int:
    """Print medians beside the bars; return 1 if a bar is missed."""
    for name, found in rates.items():
        print(f"{name:<12} {found:>9.0f} windows/s {found * SIDE**2 * 3 / 1e6:>7.0f} MB/s")
    loops, share = rates["ours"] / rates["plain loop"], rates["ours"] / rates["plain write"]
    print(f"ours / plain loop   {loops:.2f}   (bar {TIMES_THE_LOOP})")
    print(f"ours / plain write  {share:.2f}   (bar {OF_THE_WRITE})")
    print(f"peak memory of a worker {workers / 2**20:.0f} MiB   (bar {WORKER_BYTES / 2**20:.0f})")
    print(f"{os.cpu_count()} cores; Ray's start and its workers' took {start:.1f} s, not counted")
    met = loops >= TIMES_THE_LOOP and share >= OF_THE_WRITE and workers <= WORKER_BYTES
    return int(not met)


def rate(way: Callable[[], int]) -> float:
    """Return windows a second; earlier rounds are on the disk before the clock starts."""
    os.sync()
    started = time.perf_counter()
    windows = way()
    return windows / (time.perf_counter() - started)


def cut(rows: list[CatalogueRow], folder: Path) -> int:
    """Extract by the pipeline on the open Ray session; return the number of windows."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    recipe, jobs = plan(work, rows, MasksSource(folder, SIXRAY, stretched=True), EXTRACT)
    return sum(result.windows for result in cut_on_ray(recipe, jobs))


def loop(rows: list[CatalogueRow], path: Path) -> int:
    """Extract in one process, one row at a time; return the number of windows."""
    with h5py.File(path, "w") as file:
        shape = (SIDE, SIDE, 3)
        # Chunks of a row: three times as fast, row by row, as what h5py chooses by itself.
        patches = file.create_dataset(
            "patches", (0, *shape), np.uint8, maxshape=(None, *shape), chunks=(1, *shape)
        )
        for row in rows:
            image = np.asarray(cv2.imread(row.files[0]))
            height, width = image.shape[:2]
            for top, left in window_origins(height, width, SIDE, EXTRACT.stride).tolist():
                patches.resize(len(patches) + 1, axis=0)
                patches[-1] = image[top : top + SIDE, left : left + SIDE]
        return len(patches)


def write(rows: list[CatalogueRow], path: Path) -> int:
    """Write the bytes of as many windows from memory to one file; return their number."""
    each = len(window_origins(900, 1200, SIDE, EXTRACT.stride))
    block = np.random.default_rng(0).integers(0, 256, (each, SIDE, SIDE, 3), dtype=np.uint8)
    with path.open("wb") as file:
        for _ in rows:
            file.write(block.data)
    return each * len(rows)


def peak_memory() -> int:
    """Return the most resident memory in bytes that any worker has had."""
    tasks = [_peak.remote() for _ in range(4 * (os.cpu_count() or 1))]
    return max(ray.get(tasks))


@ray.remote(num_cpus=1)
def _peak() -> int:
    time.sleep(0.1)  # so that every worker gets one
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
