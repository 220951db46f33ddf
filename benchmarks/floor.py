"""Least times of a training step and a scoring: FLOPs and bytes, over the machine's rates.

    python -m benchmarks.floor [--threads 2] [--cpu-time]

A step needs at least 3 passes of G and 7 of D (forward; gradient of the input; gradient of the
weights): D sees x and x_hat, D's loss goes back through both, and G's loss goes back through
D(x_hat) to x_hat only. Scoring needs 1 and 2. Taps that meet only padding are not counted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.timing import Clock, parse_arguments, seconds_of
from pipeline.models.convolutions import DownsampleConv2d, UpsampleConvTranspose2d
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.nets import NetShape

BATCH, WIDTH, LATENT_DIM = 64, 64, 100  # the paper's
SIDES = (32, 64)
STEP_PASSES, SCORE_PASSES = (3, 7), (1, 2)  # of G, of D
ADAM_TRANSFERS = 7  # a step of Adam reads w, g, m and v, and writes w, m and v
FLOAT_BYTES = 4
MATRIX_SIDE, ROUNDS = 2048, 10  # of the products that measure the machine


@dataclass(frozen=True)
class Work:
    """FLOPs, and bytes moved between memory and cores if nothing stays in a cache."""

    flops: float
    moved: float

    def seconds(self, machine: "Machine") -> float:
        """Return the longer of the two times, as if one could wholly hide the other."""
        return max(self.flops / machine.flops, self.moved / machine.bandwidth)


@dataclass(frozen=True)
class Machine:
    """Measured float32 matrix peak in FLOP/s, and copying in bytes/s, on torch's threads."""

    flops: float
    bandwidth: float


def paper_shape(side: int) -> NetShape:
    """Return the shape of the paper's networks."""
    return NetShape(side, 3, WIDTH, WIDTH, LATENT_DIM)


def weight_count(shape: NetShape) -> int:
    """Return the number of weights of both networks."""
    return sum(p.numel() for net in build_networks(shape, 0).values() for p in net.parameters())


def step_work(shape: NetShape, batch: int) -> Work:
    """Return the work of one training step."""
    work = _passes(shape, batch, STEP_PASSES)
    return Work(work.flops, work.moved + ADAM_TRANSFERS * FLOAT_BYTES * weight_count(shape))


def score_work(shape: NetShape, batch: int) -> Work:
    """Return the work of scoring one batch."""
    return _passes(shape, batch, SCORE_PASSES)


def measure_machine(clock: Clock) -> Machine:
    """Return the best rates of `ROUNDS` products of two matrices, and copies of 128 MB."""
    left, right = torch.randn(2, MATRIX_SIDE, MATRIX_SIDE).unbind()
    source = torch.randn(32 * 2**20)
    target = torch.empty_like(source)
    product = min(seconds_of(lambda: torch.mm(left, right), clock) for _ in range(ROUNDS))
    copy = min(seconds_of(lambda: target.copy_(source), clock) for _ in range(ROUNDS))
    return Machine(2 * MATRIX_SIDE**3 / product, 2 * source.nbytes / copy)


def _passes(shape: NetShape, batch: int, passes: tuple[int, int]) -> Work:
    found = [_forward(network, shape, batch) for network in build_networks(shape, 0).values()]
    return Work(
        sum(count * work.flops for count, work in zip(passes, found, strict=True)),
        sum(count * work.moved for count, work in zip(passes, found, strict=True)),
    )


def _forward(network: nn.Module, shape: NetShape, batch: int) -> Work:
    flops = moved = 0.0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal flops, moved
        weight = module.get_parameter("weight")
        places = min(inputs[0].shape[3], output.shape[3])
        halves = isinstance(module, (DownsampleConv2d, UpsampleConvTranspose2d))
        live = ((4 * places - 2) / (4 * places)) ** 2 if halves else 1.0
        flops += 2 * batch * places**2 * weight.numel() * live
        moved += FLOAT_BYTES * (batch * (inputs[0].numel() + output.numel()) + weight.numel())

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, shape.channels, shape.side, shape.side))
    return Work(flops, moved)


def main() -> None:
    """Print the lower bounds of the times."""
    print_floors(parse_arguments("lower bounds of the times").clock)


def print_floors(clock: Clock) -> None:
    """Print the lower bounds of the times of the paper's networks."""
    machine = measure_machine(clock)
    print(
        f"{torch.get_num_threads()} threads: {machine.flops / 1e9:.0f} GFLOP/s in float32, ", end=""
    )
    print(f"{machine.bandwidth / 1e9:.1f} GB/s copied")
    for side in SIDES:
        shape = paper_shape(side)
        for name, work in (
            ("training step", step_work(shape, BATCH)),
            ("scoring a batch", score_work(shape, BATCH)),
        ):
            print(f"{name}, {side} px: {work.flops / 1e9:.1f} GFLOP, ", end="")
            print(f"{work.moved / 1e9:.2f} GB, no less than {work.seconds(machine) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
