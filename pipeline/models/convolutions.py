"""The networks' convolutions. On the CPU, small maps are convolved by one matrix product.

oneDNN runs 4x4 kernels of stride 2 near the machine's peak speed on large maps, but at a quarter
of this speed on small maps, where much of each kernel lies on padding (benchmarks/README.md). A
matrix product of im2col rows and weights runs near the peak on small maps too. Weights keep the
shapes and names of torch's own modules; channels_last weights are not copied.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear, pad

SMALL_SIDE = 4  # side of the smaller map, up to which the product is faster
MAX_PRODUCT_CHANNELS = 4  # up to so many output channels, the matrix product is faster at any size


class DownsampleConv2d(nn.Conv2d):
    """4x4 convolution, stride 2, padding 1: (N, C, H, W) to (N, K, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x."""
        if x.device.type != "cpu" or x.shape[3] > 2 * SMALL_SIDE:
            return super().forward(x)
        n, _, h, w = x.shape
        seen: Tensor = _Im2col.apply(x)  # type: ignore[no-untyped-call]
        rows = linear(seen, _matrix(self.weight), self.bias)
        return rows.view(n, h // 2, w // 2, -1).permute(0, 3, 1, 2)


class UpsampleConvTranspose2d(nn.ConvTranspose2d):
    """Transposed 4x4 convolution, stride 2, padding 1: (N, C, H, W) to (N, K, 2 H, 2 W)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Apply the transposed convolution to x."""
        small = x.shape[3] <= SMALL_SIDE or self.out_channels <= MAX_PRODUCT_CHANNELS
        if x.device.type != "cpu" or not small:
            return super().forward(x, output_size)
        n, c, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(-1, c) @ _matrix(self.weight)
        y: Tensor = _Col2im.apply(rows.view(n, h, w, -1))  # type: ignore[no-untyped-call]
        return _add(y, self.bias)


class WholeMapConv2d(nn.Conv2d):
    """Convolution whose kernel is as large as the map: (N, C, S, S) to (N, K, 1, 1)."""

    def __init__(self, in_channels: int, out_channels: int, side: int) -> None:
        super().__init__(in_channels, out_channels, side, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply each whole map by the weights."""
        return linear(_matrix(x), _matrix(self.weight), self.bias)[:, :, None, None]


class FromPointConvTranspose2d(nn.ConvTranspose2d):
    """Transpose of `WholeMapConv2d`: (N, C, 1, 1) to (N, K, S, S)."""

    def __init__(self, in_channels: int, out_channels: int, side: int) -> None:
        super().__init__(in_channels, out_channels, side, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: ARG002
        """Multiply each point by the weights."""
        side, channels = self.kernel_size[0], self.out_channels
        rows = x.flatten(1) @ _matrix(self.weight)
        return _add(rows.view(-1, side, side, channels).permute(0, 3, 1, 2), self.bias)


def concat_skip(skip: Tensor, x: Tensor) -> Tensor:
    """Concatenate along the channels. Gradients are dense: batch-norm is slow on strided ones."""
    return _ConcatSkip.apply(skip, x)  # type: ignore[no-untyped-call]


class _ConcatSkip(torch.autograd.Function):
    """`torch.cat` along the channels, with gradients dense in channels_last layout."""

    @staticmethod
    def forward(ctx: Any, skip: Tensor, x: Tensor) -> Tensor:
        ctx.sizes = skip.shape[1], x.shape[1]
        return torch.cat([skip, x], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        parts = gradient.split(ctx.sizes, dim=1)
        return tuple(part.contiguous(memory_format=torch.channels_last) for part in parts)


class _Im2col(torch.autograd.Function):
    """`im2col`, whose gradient is `col2im`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return im2col(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        n, _, h, w = ctx.shape
        return col2im(gradient.view(n, h // 2, w // 2, -1))


class _Col2im(torch.autograd.Function):
    """`col2im`, whose gradient is `im2col`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ARG004
        return col2im(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        n, _, h, w = gradient.shape
        return im2col(gradient).view(n, h // 2, w // 2, -1)


def im2col(x: Tensor) -> Tensor:
    """Return the 4x4 kernel's inputs as rows: (N, C, H, W) to (N * H/2 * W/2, 16 C)."""
    padded = pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    taps = padded.unfold(1, 4, 2).unfold(2, 4, 2)  # (N, H/2, W/2, C, 4, 4), a view
    return taps.permute(0, 1, 2, 4, 5, 3).reshape(-1, 16 * x.shape[1])


def col2im(rows: Tensor) -> Tensor:
    """Add up overlapping rows (transpose of `im2col`): (N, H, W, 16 C) to (N, C, 2 H, 2 W)."""
    n, h, w, wide = rows.shape
    # Kernel row 2 a + p adds to row p of the a-th 2x2 cell after its place; column 2 b + q alike.
    taps = rows.view(n, h, w, 2, 2, 2, 2, wide // 16)  # (N, H, W, a, p, b, q, C)
    padded = rows.new_zeros(n, h + 1, 2, w + 1, 2, wide // 16)
    for a in range(2):
        for b in range(2):
            padded[:, a : a + h, :, b : b + w] += taps[:, :, :, a, :, b].transpose(2, 3)
    padded_maps = padded.view(n, 2 * h + 2, 2 * w + 2, wide // 16)
    return padded_maps[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _add(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def _matrix(weight: Tensor) -> Tensor:
    """Reshape (K, C, S, S) to (K, S * S * C): a view if channels are last in memory."""
    return weight.permute(0, 2, 3, 1).flatten(1)
