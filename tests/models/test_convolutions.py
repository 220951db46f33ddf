"""The matrix products against the plain convolutions, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pipeline.models.convolutions import (
    DoublingConv2d,
    FromPointConv2d,
    HalvingConv2d,
    WholeMapConv2d,
    columns,
    join,
    overlay,
)

SIDES = [1, 2, 4, 8]  # of the smaller map; 8 is left to the plain convolution


def results(forward: Callable[..., Tensor], module: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of every weight."""
    x = x.detach().requires_grad_()
    y = forward(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).double()
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *module.parameters()])]


def assert_same(module: nn.Module, plain: Callable[..., Tensor], x: Tensor) -> None:
    for found, expected in zip(
        results(module, module, x), results(lambda x: plain(module, x), module, x), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def some_maps(channels: int, side: int) -> Tensor:
    return torch.randn(3, channels, side, side, dtype=torch.float64)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_halving(side: int, layout: torch.memory_format) -> None:
    x = some_maps(5, 2 * side).contiguous(memory_format=layout)
    assert_same(HalvingConv2d(5, 7).double(), nn.Conv2d.forward, x)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("channels", "bias"), [(7, False), (3, True)])
def test_doubling(side: int, channels: int, bias: bool) -> None:
    module = DoublingConv2d(5, channels, bias=bias).double()
    assert_same(module, nn.ConvTranspose2d.forward, some_maps(5, side))


@pytest.mark.parametrize("side", [2, 4])
def test_whole_maps(side: int) -> None:
    assert_same(WholeMapConv2d(5, 7, side).double(), nn.Conv2d.forward, some_maps(5, side))
    module = FromPointConv2d(5, 7, side).double()
    assert_same(module, nn.ConvTranspose2d.forward, some_maps(5, 1))


def test_join_is_cat() -> None:
    skip, x = some_maps(2, 4), some_maps(3, 4)
    first, second = skip.requires_grad_(), x.requires_grad_()
    weights = some_maps(5, 4)
    found = torch.autograd.grad((join(first, second) * weights).sum(), [first, second])
    assert torch.equal(join(first, second), torch.cat([first, second], dim=1))
    assert torch.equal(torch.cat(found, dim=1), weights)


def test_overlay_is_the_transpose_of_columns() -> None:
    x, rows = some_maps(2, 6), torch.randn(3, 3, 3, 32, dtype=torch.float64)
    left = (columns(x) * rows.view(-1, 32)).sum()
    torch.testing.assert_close(left, (x * overlay(rows)).sum(), rtol=1e-12, atol=1e-12)


def test_the_product_is_what_runs_on_small_maps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    plain: list[int] = []
    convolution = nn.Conv2d.forward

    def counted(self: nn.Conv2d, x: Tensor) -> Tensor:
        plain.append(x.shape[3])
        return convolution(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", counted)
    for side in SIDES:
        HalvingConv2d(5, 7).double()(some_maps(5, 2 * side))
    assert plain == [16]


def test_no_weight_is_copied() -> None:
    module = HalvingConv2d(5, 7).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module(torch.randn(3, 5, 4, 4)).sum().backward()
    assert module.weight.grad is not None
    assert module.weight.grad.stride() == module.weight.stride()
    assert module.weight.permute(0, 2, 3, 1).is_contiguous()
