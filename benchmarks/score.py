"""Scoring in the textbook order against ours: medians of alternating runs, and their ratio.

    python -m benchmarks.score [--rounds 7] [--threads 2]

Both start from the same uint8 patches. The textbook: modules in evaluation mode, no gradient,
G(x), D(x), D(x_hat), batches of 64. Float32, ngf = ndf = 64.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.floor import SIDES, WIDTH, measure_machine, paper_shape, score_work
from benchmarks.textbook import TextbookDiscriminator, TextbookGenerator, textbook_scores
from benchmarks.timing import Row, alternate, print_rows
from pipeline.models.skip_ganomaly.step import build_networks, network_state
from pipeline.scoring import build_detector

BARS = {32: 2.0, 64: 1.8}
PATCHES = 256


def their_scoring(pixels: NDArray[np.uint8]) -> Callable[[], object]:
    """The textbook's scores of these patches."""
    side = pixels.shape[1]
    generator = TextbookGenerator(side, WIDTH).eval()
    discriminator = TextbookDiscriminator(side, WIDTH).eval()
    return lambda: textbook_scores(generator, discriminator, pixels)


def our_scoring(pixels: NDArray[np.uint8]) -> Callable[[], object]:
    """The pipeline's scores of these patches."""
    shape = paper_shape(pixels.shape[1])
    detector = build_detector(shape, network_state(*build_networks(shape, seed=0)), 0.9)
    return lambda: detector.score([pixels])


def measure(rounds: int) -> list[Row]:
    """One row per patch size."""
    machine = measure_machine()
    rows = []
    for side in SIDES:
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (PATCHES, side, side, 3), dtype=np.uint8)
        found = alternate({"textbook": their_scoring(pixels), "ours": our_scoring(pixels)}, rounds)
        floor = score_work(paper_shape(side), PATCHES).seconds(machine)
        what = f"scoring {PATCHES} patches, {side} px"
        rows.append(Row.ratio(what, found["textbook"], found["ours"], BARS[side], floor))
    return rows


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description="the textbook scoring against ours")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_rows(measure(arguments.rounds))


if __name__ == "__main__":
    main()
