"""Times scoring in the textbook order against ours: medians of alternating runs, and their ratio.

    python -m benchmarks.score [--threads 2] [--cpu-time]

Both start from the same uint8 patches. The textbook computes G(x), D(x) and D(x_hat) in evaluation
mode, without gradients, in batches of 64. Float32, ngf = ndf = 64.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.floor import SIDES, WIDTH, measure_machine, paper_shape, score_work
from benchmarks.textbook import TextbookDiscriminator, TextbookGenerator, textbook_scores
from benchmarks.timing import Clock, Row, alternate, parse_arguments, print_rows
from benchmarks.train_step import model_settings
from pipeline.models.detector import build_detector
from pipeline.models.gan import network_state
from pipeline.models.methods.skip_ganomaly.nets import build_networks

BARS = {32: 2.0, 64: 1.8}
PATCHES = 256


def their_scoring(pixels: NDArray[np.uint8]) -> Callable[[], object]:
    """Return an action: the textbook's scoring of these patches."""
    side = pixels.shape[1]
    generator = TextbookGenerator(side, WIDTH).eval()
    discriminator = TextbookDiscriminator(side, WIDTH).eval()
    return lambda: textbook_scores(generator, discriminator, pixels)


def our_scoring(pixels: NDArray[np.uint8]) -> Callable[[], object]:
    """Return an action: the pipeline's scoring of these patches."""
    shape = paper_shape(pixels.shape[1])
    detector = build_detector(
        shape, network_state(build_networks(shape, seed=0)), model_settings(WIDTH)
    )
    return lambda: detector.score([pixels])


def measure(rounds: int, clock: Clock) -> list[Row]:
    """Return a benchmark row for each patch size."""
    machine = measure_machine(clock)
    rows = []
    for side in SIDES:
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (PATCHES, side, side, 3), dtype=np.uint8)
        found = alternate(
            {"textbook": their_scoring(pixels), "ours": our_scoring(pixels)}, rounds, clock
        )
        floor = score_work(paper_shape(side), PATCHES).seconds(machine)
        name = f"scoring {PATCHES} patches, {side} px"
        rows.append(Row.ratio(name, found["textbook"], found["ours"], BARS[side], floor))
    return rows


def main() -> None:
    """Print the rows."""
    arguments = parse_arguments("the textbook scoring against ours")
    print_rows(measure(arguments.rounds, arguments.clock))


if __name__ == "__main__":
    main()
