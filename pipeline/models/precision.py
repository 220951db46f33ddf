"""Precision of matrix products and convolutions."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from pipeline.settings.model import Precision


@contextmanager
def products(precision: Precision) -> Iterator[None]:
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


def rounding() -> list[str | int]:
    """Return what decides how sums round, apart from all settings, on the machine that asks.

    The version of torch, the processor's vector instructions, and the cores that the threads of a
    worker are shared out from.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    return [torch.__version__, capability, len(os.sched_getaffinity(0))]


def autocast(x: Tensor, precision: Precision) -> AbstractContextManager[Any]:
    """Compute forward passes on x's device in bfloat16 if `precision` is "bfloat16"."""
    return torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16")
