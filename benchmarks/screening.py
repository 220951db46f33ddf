"""How much of a bag's time the score takes, how soon the first bag is done, and the memory.

    python -m benchmarks.screening [--model results/train/model.pt] [--rounds 5]

Compares the whole time of a bag, from its file to its pictures, with the time of the same windows
in the detector alone; the start of `skipscan screen` up to its first bag with the import of torch;
and the memory of 1,000 bags, and of one bag 30,000 pixels wide, with the memory of 10 bags.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil

from benchmarks import timing
from pipeline.common.files import file_digest
from pipeline.common.names import Image
from pipeline.models.trained_model import TrainedModel
from pipeline.patches.windows import foreground_origins, window_pixels
from pipeline.scans.generated.generator import render_scan
from pipeline.screening.folder_screener import FolderScreener, ScreeningOptions
from pipeline.screening.records import RECORDS

SEED = 0
BAGS = 10  # of a folder, whose time is compared
SMALL = 192  # pixels: side of the scans of which there are many
WIDE = 30_000


def share_of_score(model: TrainedModel, rounds: int) -> float:
    """Return the share of a bag's time that the same windows take in the detector alone."""
    image = render_scan(SEED, 0).image
    rule, detector = model.rule, model.detector()
    scans = {f"{number}.png": np.roll(image, number, axis=1) for number in range(BAGS)}
    windows = [window_pixels(scan, foreground_origins(scan, rule), rule) for scan in scans.values()]
    with tempfile.TemporaryDirectory() as folder:
        scans_folder = written(Path(folder) / "in", scans)

        def screen_anew() -> None:
            with tempfile.TemporaryDirectory() as out:
                FolderScreener(scans_folder, model, {}, Path(out), ScreeningOptions(0.1)).screen()

        rivals: dict[str, Callable[[], object]] = {
            "whole": screen_anew,
            "score": partial(detector.score, windows),
        }
        found = timing.alternate(rivals, rounds)
    return found["score"].median / found["whole"].median


def start_ratio(path: Path, rounds: int) -> float:
    """Return the time up to the first bag, divided by the time of importing torch."""
    small = render_scan(SEED, 0).image[:SMALL, :SMALL]
    rivals: dict[str, Callable[[], object]] = {
        "first": partial(until_first, path, small),
        "torch": partial(subprocess.run, [sys.executable, "-c", "import torch"], check=True),
    }
    found = timing.alternate(rivals, rounds)
    return found["first"].median / found["torch"].median


def until_first(path: Path, image: Image) -> None:
    """Run a screening until its first record is on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        scans_folder, records = Path(folder) / "in", Path(folder) / "out" / RECORDS
        process = subprocess.Popen(
            command(path, written(scans_folder, {"a.png": image}), records.parent),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not (records.exists() and records.stat().st_size):
            time.sleep(0.005)
        process.kill()
        process.wait()


def peak_megabytes(path: Path, scans: dict[str, Image]) -> float:
    """Return the most memory of a screening of these scans."""
    with tempfile.TemporaryDirectory() as folder:
        scans_folder = written(Path(folder) / "in", scans)
        process = subprocess.Popen(
            command(path, scans_folder, Path(folder) / "out"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        watched, most = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                most = max(most, watched.memory_info().rss)
            except psutil.Error:
                break
            time.sleep(0.02)
        process.wait()
    return most / 2**20


def command(model: Path, scans_folder: Path, out: Path) -> list[str]:
    """Return the command of a screening."""
    words = [sys.executable, "-m", "stages", "screen", str(scans_folder), "--model", str(model)]
    return [*words, "--out", str(out)]


def written(folder: Path, scans: dict[str, Image]) -> Path:
    """Write scans as PNG, and return their folder."""
    folder.mkdir()
    for name, image in scans.items():
        cv2.imwrite(str(folder / name), image[:, :, ::-1])
    return folder


def main() -> None:
    """Print the three figures, each with its bar."""
    parser = argparse.ArgumentParser(description="time and memory of screening")
    parser.add_argument("--model", type=Path, default=Path("results/train/model.pt"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model = TrainedModel.load(arguments.model)
    print(f"model {file_digest(arguments.model)[:8]}, ngf {model.shape.ngf}")
    share = share_of_score(model, arguments.rounds)
    print(f"the score's share of a bag's time: {share:.2f}, bar 0.9 with networks", flush=True)
    ratio = start_ratio(arguments.model.resolve(), arguments.rounds)
    print(f"start to the first bag, in imports of torch: {ratio:.2f}, bar 1.5", flush=True)
    scan = render_scan(SEED, 0).image
    crops = {
        f"{number:04d}.png": np.roll(scan, number, axis=1)[:SMALL, :SMALL] for number in range(1000)
    }
    few = peak_megabytes(arguments.model.resolve(), dict(list(crops.items())[:10]))
    many = peak_megabytes(arguments.model.resolve(), crops)
    wide = np.tile(scan, (1, WIDE // scan.shape[1] + 1, 1))[:, :WIDE]
    print(f"memory: {few:.0f} MB for 10 bags, {many:.0f} MB for 1,000", flush=True)
    peak = peak_megabytes(arguments.model.resolve(), {"wide.png": wide})
    print(f"{peak:.0f} MB for a scan of {wide.shape[1]}x{wide.shape[0]} pixels")


if __name__ == "__main__":
    main()
