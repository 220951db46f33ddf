"""How exact CUDA's products are."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.models.skip_ganomaly.settings import Precision


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
