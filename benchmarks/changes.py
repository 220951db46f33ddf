"""Measures each change to the step and the scoring: ours against ours with one change undone.

    python -m benchmarks.changes [--threads 1] [--cpu-time] [--side 32]

Medians of alternating runs in one process, float32, ngf = ndf = 64; a step of 64 patches, scoring
of 256. Each run undoes one change only, so the savings do not add up.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from benchmarks.floor import WIDTH
from benchmarks.score import PATCHES, our_scoring
from benchmarks.timing import Timing, alternate, parse_arguments
from benchmarks.train_step import model_settings, our_step
from pipeline.models import convolutions, nets
from pipeline.models import detector as scoring
from pipeline.models.methods.skip_ganomaly import nets as generator


@contextmanager
def torch_convolutions() -> Iterator[None]:
    """Treat every map as large, so that no convolution runs as a product."""
    with patch.multiple(convolutions, SMALL_SIDE=0, MAX_PRODUCT_CHANNELS=0):
        yield


@contextmanager
def plain_join() -> Iterator[None]:
    """Let gradients after a join be strided."""
    with patch.object(generator, "concat_skip", lambda skip, x: torch.cat([skip, x], dim=1)):
        yield


@contextmanager
def fresh_activations() -> Iterator[None]:
    """Let networks built within write each activation to memory of its own."""
    plain: dict[str, Any] = {"leaky_relu": lambda: nn.LeakyReLU(nets.LEAK), "relu": nn.ReLU}
    with patch.multiple(nets, **plain), patch.multiple(generator, **plain):
        yield


@contextmanager
def large_batches() -> Iterator[None]:
    """Score all patches at once."""
    with patch.object(scoring, "SCORE_BATCH", PATCHES):
        yield


ALWAYS = {"small maps as products": torch_convolutions}
STEP = {**ALWAYS, "dense gradients after a join": plain_join}
SCORE = {**ALWAYS, "batches of 64, not 256": large_batches}


def undone(
    action: Callable[[], object], undo: Callable[[], AbstractContextManager[None]]
) -> Callable[[], object]:
    """Return the action with a change undone."""

    def run() -> None:
        with undo():
            action()

    return run


def print_saved(title: str, timings: dict[str, Timing]) -> None:
    """Print a line for each change."""
    ours = timings.pop("ours")
    for name, without in timings.items():
        saved = (without.median - ours.median) * 1e3
        print(f"{title}: {name:<30} saves {saved:>5.0f} ms   ours {ours}, without {without}")


def main() -> None:
    """Print the table."""
    arguments = parse_arguments("what each change saves", side=("32", "64"))
    side = int(arguments.side)
    pixels = np.random.default_rng(0).integers(0, 256, (PATCHES, side, side, 3), dtype=np.uint8)
    step, score = our_step(side, model_settings(WIDTH)), our_scoring(pixels)
    with fresh_activations():
        fresh_step, fresh_score = our_step(side, model_settings(WIDTH)), our_scoring(pixels)
    rivals = {
        "ours": step,
        "activations in place": fresh_step,
        **{name: undone(step, undo) for name, undo in STEP.items()},
    }
    print_saved(f"step, {side} px", alternate(rivals, arguments.rounds, arguments.clock))
    bf16 = our_step(side, model_settings(WIDTH, "bfloat16"))
    found = alternate({"ours": bf16, "bfloat16 products": step}, arguments.rounds, arguments.clock)
    print_saved(f"step, {side} px", found)
    rivals = {
        "ours": score,
        "activations in place": fresh_score,
        **{name: undone(score, undo) for name, undo in SCORE.items()},
    }
    print_saved(f"scoring, {side} px", alternate(rivals, arguments.rounds, arguments.clock))


if __name__ == "__main__":
    main()
