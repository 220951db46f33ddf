"""The textbook training step against ours: medians of alternating runs, and their ratio.

    python -m benchmarks.train_step [--threads 2] [--cpu-time] [--precision float32]

The textbook in float32; batch 64, ngf = ndf = 64. `floor` is that of float32 (`benchmarks.floor`).
"""

from collections.abc import Callable
from typing import get_args

import torch

from benchmarks.floor import (
    BATCH,
    LATENT_DIM,
    SIDES,
    WIDTH,
    measure_machine,
    paper_shape,
    step_work,
)
from benchmarks.textbook import BETAS, LEARNING_RATE, Textbook, textbook_step
from benchmarks.timing import Clock, Row, alternate, arguments, print_rows
from pipeline.models.gan import build_gan
from pipeline.models.settings import LossSettings, ModelSettings, Precision
from pipeline.models.skip_ganomaly.nets import build_networks
from pipeline.models.skip_ganomaly.step import train_step

BARS = {32: 4.0, 64: 3.0}
LOSSES = LossSettings(lambda_adv=1, lambda_con=40, lambda_lat=1, latent_dim=LATENT_DIM)


def their_step(side: int) -> Callable[[], object]:
    """The textbook's step on one batch, over and over."""
    model, x = Textbook.build(side, WIDTH), some_patches(side)
    return lambda: textbook_step(model, x)


def our_step(side: int, precision: Precision) -> Callable[[], object]:
    """A training step of the pipeline on one batch, over and over."""
    networks = build_networks(paper_shape(side), seed=0)
    model = build_gan(networks, model_settings(WIDTH, precision), epochs=1)
    x = some_patches(side).contiguous(memory_format=torch.channels_last)
    return lambda: train_step(model, x, LOSSES)


def model_settings(width: int, precision: Precision = "float32") -> ModelSettings:
    """The textbook's optimiser, at ngf = ndf = `width`."""
    return ModelSettings(width, width, BATCH, LEARNING_RATE, *BETAS, 0.9, precision)


def some_patches(side: int) -> torch.Tensor:
    """(N, 3, S, S) in [-1, 1]."""
    return torch.rand(BATCH, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def measure(rounds: int, precision: Precision, clock: Clock) -> list[Row]:
    """One row per patch size."""
    machine = measure_machine(clock)
    rows = []
    for side in SIDES:
        found = alternate(
            {"textbook": their_step(side), "ours": our_step(side, precision)}, rounds, clock
        )
        floor = step_work(paper_shape(side), BATCH).seconds(machine)
        what = f"training step, {side} px, {precision}"
        rows.append(Row.ratio(what, found["textbook"], found["ours"], BARS[side], floor))
    return rows


def main() -> None:
    """Print the rows."""
    given = arguments("the textbook training step against ours", precision=get_args(Precision))
    print_rows(measure(given.rounds, given.precision, given.clock))


if __name__ == "__main__":
    main()
