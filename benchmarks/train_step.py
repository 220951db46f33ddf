"""Times the textbook training step against ours: medians of alternating runs, and their ratio.

    python -m benchmarks.train_step [--threads 2] [--cpu-time] [--precision float32]
    python -m benchmarks.train_step --device cuda --precision bfloat16

The textbook step is in float32; batch 64, ngf = ndf = 64. `floor` is the floor of float32
(`benchmarks.floor`). On CUDA: 32 pixels only, no floor, and ours at larger batches as well.
"""

from collections.abc import Callable
from dataclasses import replace
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
from benchmarks.timing import Clock, Row, alternate, parse_arguments, print_rows, wall_time
from pipeline.models.gan import build_gan
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.methods.skip_ganomaly.step import train_step
from pipeline.models.precision import matmul_precision
from pipeline.settings.model import LossSettings, ModelSettings, Precision

BARS = {32: 4.0, 64: 3.0}
LOSSES = LossSettings(lambda_adv=1, lambda_con=40, lambda_lat=1, latent_dim=LATENT_DIM)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
CUDA_BAR, CUDA_SIDE, CUDA_BATCHES = 10.0, 32, (64, 256, 1024, 4096)


def their_step(side: int, device: torch.device = CPU) -> Callable[[], object]:
    """Return an action: the textbook's step, always on the same batch."""
    model, x = Textbook.build(side, WIDTH, device), some_patches(side).to(device)

    def step() -> None:
        with matmul_precision("float32"):
            textbook_step(model, x)
        _finish(device)

    return step


def our_step(
    side: int, settings: ModelSettings, device: torch.device = CPU
) -> Callable[[], object]:
    """Return an action: the pipeline's training step, always on the same batch."""
    networks = build_networks(paper_shape(side), seed=0)
    for network in networks.values():
        network.to(device)
    model = build_gan(networks, settings)
    x = some_patches(side, settings.batch_size).to(device, memory_format=torch.channels_last)

    def step() -> None:
        train_step(model, x, LOSSES)
        _finish(device)

    return step


def _finish(device: torch.device) -> None:
    """Wait until CUDA has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def model_settings(width: int, precision: Precision = "float32") -> ModelSettings:
    """Return the settings of the textbook's optimiser, at ngf = ndf = `width`."""
    return ModelSettings(
        ngf=width,
        ndf=width,
        learning_rate=LEARNING_RATE,
        score_lambda=0.9,
        batch_size=BATCH,
        beta1=BETAS[0],
        beta2=BETAS[1],
        precision=precision,
    )


def some_patches(side: int, count: int = BATCH) -> torch.Tensor:
    """Return random patches (N, 3, S, S) in [-1, 1]."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def measure(rounds: int, settings: ModelSettings, clock: Clock) -> list[Row]:
    """Return a benchmark row for each patch size."""
    machine = measure_machine(clock)
    rows = []
    for side in SIDES:
        rivals = {"textbook": their_step(side), "ours": our_step(side, settings)}
        found = alternate(rivals, rounds, clock)
        floor = step_work(paper_shape(side), BATCH).seconds(machine)
        name = f"training step, {side} px, {settings.precision}"
        rows.append(Row.ratio(name, found["textbook"], found["ours"], BARS[side], floor))
    return rows


def measure_cuda(rounds: int, settings: ModelSettings) -> list[Row]:
    """Return the benchmark row of a GPU, with patches a second at the best batch size."""
    ours = our_step(CUDA_SIDE, settings, CUDA)
    rivals = {"textbook": their_step(CUDA_SIDE, CUDA), "ours": ours}
    found = alternate(rivals, rounds, wall_time)
    rates = {}
    for batch in CUDA_BATCHES:
        step = our_step(CUDA_SIDE, replace(settings, batch_size=batch), CUDA)
        rates[batch] = batch / alternate({"ours": step}, rounds, wall_time)["ours"].median
    best = max(rates, key=lambda batch: rates[batch])
    ratio = found["textbook"].median / found["ours"].median
    detail = (
        f"textbook {found['textbook']}, ours {found['ours']}, "
        f"{rates[best]:.0f} patches/s in batches of {best}"
    )
    name = f"training step, {torch.cuda.get_device_name()}, {settings.precision}"
    return [Row(name, ratio, CUDA_BAR, detail)]


def main() -> None:
    """Print the rows."""
    arguments = parse_arguments(
        "the textbook training step against ours",
        precision=get_args(Precision),
        device=("cpu", "cuda"),
    )
    settings = model_settings(WIDTH, arguments.precision)
    if arguments.device == "cuda":
        print_rows(measure_cuda(arguments.rounds, settings))
    else:
        print_rows(measure(arguments.rounds, settings, arguments.clock))


if __name__ == "__main__":
    main()
