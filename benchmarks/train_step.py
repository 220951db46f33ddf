"""The textbook training step against ours: medians of alternating runs, and their ratio.

    python -m benchmarks.train_step [--rounds 7] [--threads 2]

Float32, batch 64, ngf = ndf = 64. `floor` is what `benchmarks.floor` says cannot be gone under.
"""

import argparse
from collections.abc import Callable

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
from benchmarks.timing import Row, alternate, print_rows
from pipeline.models.skip_ganomaly.settings import LossSettings, ModelSettings
from pipeline.models.skip_ganomaly.step import build_model, build_networks, train_step

BARS = {32: 4.0, 64: 3.0}
LOSSES = LossSettings(lambda_adv=1, lambda_con=40, lambda_lat=1, latent_dim=LATENT_DIM)


def their_step(side: int) -> Callable[[], object]:
    """The textbook's step on one batch, over and over."""
    model, x = Textbook.build(side, WIDTH), some_patches(side)
    return lambda: textbook_step(model, x)


def our_step(side: int, batch: int = BATCH) -> Callable[[], object]:
    """A training step of the pipeline on one batch, over and over."""
    networks = build_networks(paper_shape(side), seed=0)
    settings = ModelSettings(WIDTH, WIDTH, batch, LEARNING_RATE, *BETAS, score_lambda=0.9)
    model = build_model(*networks, settings, epochs=1)
    x = some_patches(side, batch).contiguous(memory_format=torch.channels_last)
    return lambda: train_step(model, x, LOSSES)


def some_patches(side: int, batch: int = BATCH) -> torch.Tensor:
    """(N, 3, S, S) in [-1, 1]."""
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def measure(rounds: int) -> list[Row]:
    """One row per patch size."""
    machine = measure_machine()
    rows = []
    for side in SIDES:
        found = alternate({"textbook": their_step(side), "ours": our_step(side)}, rounds)
        floor = step_work(paper_shape(side), BATCH).seconds(machine)
        what = f"training step, {side} px"
        rows.append(Row.ratio(what, found["textbook"], found["ours"], BARS[side], floor))
    return rows


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description="the textbook training step against ours")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_rows(measure(arguments.rounds))


if __name__ == "__main__":
    main()
