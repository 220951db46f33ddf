"""Kills extractions with kill -9 at random moments; a rerun must give the same bytes every time.

    python -m faults.kill_extract [--kills 100] [--ray] [--seed 0]

Each time, a new process starts an extraction of generated scans from nothing, and is killed with
all processes that it started. After the kill, every file with a shard's name must be a complete
shard. A second run must give the same files as an undisturbed run, byte for byte. With `--ray`, Ray
cuts all shards except the first; every second kill then hits only the driver, and the workers live
on for a while.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import pipeline.patches.extraction
from benchmarks.scans import make_scans
from pipeline.common.files import file_digest
from pipeline.patches.extraction import Extraction, extract_patches
from pipeline.patches.shard_file import Shard
from pipeline.scans.catalogue import CatalogueRow, read_catalogue, write_catalogue
from pipeline.scans.scan import ScanEntry
from pipeline.scans.sources.masks import SIXRAY, MasksSource
from pipeline.settings.params import ExtractSettings

EXTRACT = ExtractSettings(size=32, stride=16, shard_scans=4)
SCAN_COUNT = 96
STARTED = "extraction starts"


def main() -> int:
    """Print what was found; 1 where a rerun left other bytes, or a shard was not whole."""
    parser = argparse.ArgumentParser(description="extraction, killed and run again")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--job", type=Path, help="(what is killed)")
    arguments = parser.parse_args()
    if arguments.job:
        extract(arguments.job, arguments.ray)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return kill_all(Path(folder), arguments.kills, arguments.ray, arguments.seed)


def kill_all(folder: Path, kills: int, ray: bool, seed: int) -> int:
    """Kill that often, and count."""
    make_catalogue(folder)
    chance = np.random.default_rng(seed)
    seconds = extract(folder, ray)
    expected = digests(folder / "patches")
    outcomes = {"finished before it was killed": 0, "left a shard that is not whole": 0,
                "rerun left other bytes": 0}  # fmt: skip
    kept = []
    for number in tqdm(range(kills), desc="kills", unit="kill"):
        shutil.rmtree(folder / "patches")
        alone = ray and number % 2 == 1
        finished = not kill_one(folder, ray, alone, chance.uniform(0, seconds))
        outcomes["finished before it was killed"] += finished
        outcomes["left a shard that is not whole"] += not shards_are_whole(folder)
        kept.append(len(list(folder.glob("patches/*.h5"))))
        extract(folder, ray=False)
        outcomes["rerun left other bytes"] += digests(folder / "patches") != expected
    print(
        f"{kills} kills of an extraction of {seconds:.1f} s{' on Ray' * ray}, {len(expected)} files"
    )
    print(f"killed runs had finished {min(kept)} to {max(kept)} shards")
    for name, count in outcomes.items():
        print(f"{name}: {count}")
    wrong = outcomes["left a shard that is not whole"] + outcomes["rerun left other bytes"]
    return int(wrong > 0)


def kill_one(folder: Path, ray: bool, alone: bool, after: float) -> bool:
    """Start an extraction and kill it; False if it was done before."""
    command = [sys.executable, "-m", "faults.kill_extract", "--job", str(folder)]
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *["--ray"] * ray], stdout=output, stderr=output, start_new_session=True
        )
    while STARTED not in log.read_text(errors="replace"):
        time.sleep(0.01)
    time.sleep(after)
    running = process.poll() is None
    if running:
        (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.wait()
    return running


def extract(folder: Path, ray: bool) -> float:
    """One extraction, here, of the catalogue in `folder`; the seconds that it took."""
    source = MasksSource(folder / "scans", SIXRAY, stretched=True)
    rows = read_catalogue(folder)
    if not ray:
        return timed(folder, rows, source, Extraction())
    # Importing Ray and torch takes seconds, which the other jobs can do without.
    from pipeline.cluster.session import ray_session  # noqa: PLC0415
    from pipeline.patches.extract_on_ray import cut_on_ray  # noqa: PLC0415

    with ray_session():
        pipeline.patches.extraction.WORTH_RAY_SECONDS = 0.0
        how = Extraction(parallel=cut_on_ray)
        return timed(folder, rows, source, how)


def timed(folder: Path, rows: list[CatalogueRow], source: MasksSource, how: Extraction) -> float:
    """The extraction, with neither the imports nor Ray's start."""
    print(STARTED, flush=True)
    started = time.monotonic()
    extract_patches(folder / "patches", rows, source, EXTRACT, how)
    return time.monotonic() - started


def make_catalogue(folder: Path) -> None:
    """Scans, three in four of them for training."""
    rows = make_scans(folder / "scans", SCAN_COUNT, 500, 400)
    entries = [ScanEntry(row.scan_id, tuple(map(Path, row.files)), ()) for row in rows]
    splits = {row.scan_id: "validation" if n % 4 == 0 else "train" for n, row in enumerate(rows)}
    write_catalogue(folder, entries, splits)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder."""
    return {path.name: file_digest(path) for path in folder.iterdir()}


def shards_are_whole(folder: Path) -> bool:
    """Whether every file with a shard's name is one."""
    try:
        for path in folder.glob("patches/*.h5"):
            Shard(path).verify()
    except ValueError as error:
        print(error, file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
