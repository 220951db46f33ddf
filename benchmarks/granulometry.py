"""Times the score of granulometry, and that of Skip-GANomaly's networks beside it, in turns.

    python -m benchmarks.granulometry --threads 1 [--rounds 5] [--cpu-time]

Both score the same windows of generated scans, from uint8 pixels; the networks have ngf = ndf = 16.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.floor import LATENT_DIM
from benchmarks.timing import Clock, Row, alternate, parse_arguments, print_rows
from benchmarks.train_step import model_settings
from pipeline.common.names import Patches
from pipeline.models.detector import Detector, build_detector, fitted_detector
from pipeline.models.gan import network_state
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.nets import NetShape
from pipeline.patches.windows import keep_windows, window_pixels
from pipeline.scans.generated.generator import render_scan
from pipeline.settings.windows import WindowRule

SCANS = 6
WIDTH = 16
BAR = 2.0  # thousand windows a second, on one core


def detectors(normals: Patches) -> dict[str, Detector]:
    """Return both detectors; granulometry is fitted to the normals."""
    shape = NetShape(normals.shape[1], normals.shape[3], WIDTH, WIDTH, LATENT_DIM)
    networks, settings = network_state(build_networks(shape, seed=0)), model_settings(WIDTH)
    without = replace(settings, method="granulometry")
    return {
        "networks": build_detector(shape, networks, settings),
        "granulometry": fitted_detector(shape, {}, without, [normals]),
    }


def measure(rounds: int, clock: Clock) -> list[Row]:
    """Return the benchmark row: thousands of windows a second, beside the networks' time."""
    rule, scans = WindowRule(), [render_scan(0, index) for index in range(SCANS)]
    windows = np.concatenate(
        [window_pixels(scan.image, keep_windows(scan, rule).origins, rule) for scan in scans]
    )
    scoring: dict[str, Callable[[], object]] = {
        name: partial(detector.score, [windows]) for name, detector in detectors(windows).items()
    }
    found = alternate(scoring, rounds, clock)
    ours, networks = found["granulometry"], found["networks"]
    detail = f"{len(windows)} windows: {ours}; networks of ngf {WIDTH}: {networks}"
    return [Row("granulometry, 1,000 windows/s", len(windows) / ours.median / 1e3, BAR, detail)]


def main() -> None:
    """Print the benchmark row."""
    arguments = parse_arguments("granulometry against networks")
    print_rows(measure(arguments.rounds, arguments.clock))


if __name__ == "__main__":
    main()
