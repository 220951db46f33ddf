"""Precision of matrix products and convolutions."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from timeit import repeat

import torch
from torch.nn.functional import conv2d

from pipeline.common.errors import InputError
from pipeline.settings.model import Precision

SLOW = 4  # times; bfloat16 without instructions for it took over 100 times as long


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Compute CUDA's products in TensorFloat32 if `precision` is "tf32", else in full float32.

    By default, cuDNN would use TensorFloat32 for every convolution.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def bfloat16_slowdown() -> float:
    """Return how many times as long as in float32 this processor convolves in bfloat16.

    Below 1 where it has instructions for it. Measured in a fraction of a second.
    """
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        x, weights = torch.ones(4, 64, 16, 16, dtype=kind), torch.ones(64, 64, 4, 4, dtype=kind)
        seconds[kind] = min(repeat(partial(conv2d, x, weights), repeat=3, number=1))
    return seconds[torch.bfloat16] / seconds[torch.float32]


def require_fast_bfloat16(precision: Precision) -> None:
    """Refuse bfloat16 on a processor that has no instructions for it.

    Raises:
        InputError: the products would take more than `SLOW` times as long as in float32.
    """
    if precision == "bfloat16" and (slowdown := bfloat16_slowdown()) > SLOW:
        raise InputError(
            "params.yaml: model.precision: bfloat16 takes this processor "
            f"{slowdown:.0f} times as long as float32: use float32, or GPUs"
        )


def numeric_environment() -> list[str | int]:
    """Return the facts about this machine that decide how sums round, whatever the settings.

    The version of torch, the processor's vector instructions, and the cores that the threads of a
    worker are shared out from.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    return [torch.__version__, capability, len(os.sched_getaffinity(0))]
