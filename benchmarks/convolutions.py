"""Times the inner convolutions of the paper's networks at 32 px, as torch's own and as products.

    python -m benchmarks.convolutions [--threads 1] [--cpu-time]

Forward and both gradients together, batch 64. The result decides `convolutions.SMALL_SIDE`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks.floor import BATCH
from benchmarks.timing import Clock, Timing, alternate, parse_arguments
from pipeline.models import convolutions
from pipeline.models.convolutions import DownsampleConv2d, UpsampleConvTranspose2d

HALVING = ((64, 128, 16), (128, 256, 8), (256, 512, 4))  # channels in and out, side of the input
DOUBLING = ((1024, 256, 2), (512, 128, 4), (256, 64, 8), (128, 3, 16))


def passes(forward: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor) -> object:
    """Compute the output, and return the gradients of the input and of the weights."""
    return torch.autograd.grad(forward(x).sum(), [x, module.get_parameter("weight")])


def compare(
    module: DownsampleConv2d | UpsampleConvTranspose2d, side: int, rounds: int, clock: Clock
) -> dict[str, Timing]:
    """Time one layer, as torch's own and as a product."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(BATCH, module.in_channels, side, side)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    plain: Any = nn.Conv2d if isinstance(module, nn.Conv2d) else nn.ConvTranspose2d
    with patch.object(convolutions, "SMALL_SIDE", side):
        return alternate(
            {
                "torch": lambda: passes(partial(plain.forward, module), module, x),
                "product": lambda: passes(module, module, x),
            },
            rounds,
            clock,
        )


def main() -> None:
    """Print a line for each layer."""
    arguments = parse_arguments("convolutions as torch's own and as a product")
    layers: list[tuple[DownsampleConv2d | UpsampleConvTranspose2d, int]]
    layers = [(DownsampleConv2d(before, after), side) for before, after, side in HALVING]
    layers += [(UpsampleConvTranspose2d(before, after), side) for before, after, side in DOUBLING]
    for module, side in layers:
        found = compare(module, side, arguments.rounds, arguments.clock)
        print(f"{module.in_channels:>4} to {module.out_channels:>3}, from {side:>2} px: ", end="")
        print(", ".join(f"{name} {timing}" for name, timing in found.items()), flush=True)


if __name__ == "__main__":
    main()
