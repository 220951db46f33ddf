"""How exact the products of matrices and convolutions are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from pipeline.settings.model import Precision


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """CUDA's products in TensorFloat32 where that is asked for, and else in all of float32.

    Of itself, cuDNN would take TensorFloat32 for every convolution.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def autocast(x: Tensor, precision: Precision) -> AbstractContextManager[Any]:
    """Products in bfloat16 where that is asked for, in forward passes on x and on its device."""
    return torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16")
