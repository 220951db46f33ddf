"""The matrix products against the plain convolutions, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pipeline.models.convolutions import (
    DownsampleConv2d,
    FromPointConvTranspose2d,
    UpsampleConvTranspose2d,
    WholeMapConv2d,
    col2im,
    concat_skip,
    im2col,
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
    generator = torch.Generator().manual_seed(channels)
    return torch.randn(3, channels, side, side, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_halving(side: int, layout: torch.memory_format) -> None:
    x = some_maps(5, 2 * side).contiguous(memory_format=layout)
    assert_same(DownsampleConv2d(5, 7).double(), nn.Conv2d.forward, x)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("channels", "bias"), [(7, False), (3, True)])
def test_doubling(side: int, channels: int, bias: bool) -> None:
    module = UpsampleConvTranspose2d(5, channels, bias=bias).double()
    assert_same(module, nn.ConvTranspose2d.forward, some_maps(5, side))


@pytest.mark.parametrize("side", [2, 4])
def test_whole_maps(side: int) -> None:
    assert_same(WholeMapConv2d(5, 7, side).double(), nn.Conv2d.forward, some_maps(5, side))
    module = FromPointConvTranspose2d(5, 7, side).double()
    assert_same(module, nn.ConvTranspose2d.forward, some_maps(5, 1))


@pytest.mark.parametrize(
    ("module", "plain", "side"),
    [
        (DownsampleConv2d(5, 7), nn.Conv2d, 4),
        (UpsampleConvTranspose2d(5, 7), nn.ConvTranspose2d, 4),
        (WholeMapConv2d(5, 7, 4), nn.Conv2d, 4),
        (FromPointConvTranspose2d(5, 7, 4), nn.ConvTranspose2d, 1),
    ],
)
def test_a_bias_that_they_get_later_counts(
    module: nn.Module, plain: type[nn.Module], side: int
) -> None:
    """Folding a batch-norm gives them one."""
    module.bias = nn.Parameter(torch.linspace(-1, 1, 7))
    assert_same(module.double(), plain.forward, some_maps(5, side))


def test_join_is_cat() -> None:
    skip, x = some_maps(2, 4), some_maps(3, 4)
    first, second = skip.requires_grad_(), x.requires_grad_()
    weights = some_maps(5, 4)
    found = torch.autograd.grad((concat_skip(first, second) * weights).sum(), [first, second])
    assert torch.equal(concat_skip(first, second), torch.cat([first, second], dim=1))
    assert torch.equal(torch.cat(found, dim=1), weights)


def test_col2im_is_the_transpose_of_im2col() -> None:
    x, rows = some_maps(2, 6), some_maps(32, 3).permute(0, 2, 3, 1).contiguous()
    left = (im2col(x) * rows.view(-1, 32)).sum()
    torch.testing.assert_close(left, (x * col2im(rows)).sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("module", "plain", "expected"),
    [
        (DownsampleConv2d(5, 7), nn.Conv2d, [10, 16]),
        (UpsampleConvTranspose2d(7, 5), nn.ConvTranspose2d, [5, 8]),
        (UpsampleConvTranspose2d(7, 4), nn.ConvTranspose2d, []),  # to an image: at any size
    ],
)
def test_the_product_is_what_runs_on_small_maps_only(
    module: nn.Module, plain: type[nn.Module], expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[int] = []
    convolution = plain.forward

    def counted(self: nn.Module, x: Tensor, *rest: None) -> Tensor:
        sides.append(x.shape[3])
        result: Tensor = convolution(self, x, *rest)
        return result

    monkeypatch.setattr(plain, "forward", counted)
    halving = plain is nn.Conv2d
    for side in [2, 4, 8, 10, 16] if halving else [1, 2, 4, 5, 8]:
        x = some_maps(5 if halving else 7, side)
        module.double()(x)
        if side <= 2:  # on other devices the plain convolution is as fast
            before = len(sides)
            assert module.to("meta")(x.to("meta")).shape[0] == 3
            assert sides[before:] == [side]
            del sides[before:]
            module.to_empty(device="cpu")
    assert sides == expected


def test_which_kernels_they_have() -> None:
    for module, shape, bias in (
        (DownsampleConv2d(5, 7), (7, 5, 4, 4), False),
        (UpsampleConvTranspose2d(5, 7), (5, 7, 4, 4), False),
        (UpsampleConvTranspose2d(5, 7, bias=True), (5, 7, 4, 4), True),
        (WholeMapConv2d(5, 7, 3), (7, 5, 3, 3), False),
        (FromPointConvTranspose2d(5, 7, 3), (5, 7, 3, 3), False),
    ):
        assert module.weight.shape == shape
        assert (module.bias is not None) == bias


def test_gradients_of_a_join_are_dense() -> None:
    skip, x = (some_maps(channels, 4).requires_grad_() for channels in (2, 3))
    weights = some_maps(5, 4).contiguous(memory_format=torch.channels_last)
    for gradient in torch.autograd.grad((concat_skip(skip, x) * weights).sum(), [skip, x]):
        assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_im2col_has_what_each_place_of_the_kernel_sees() -> None:
    x = some_maps(2, 6)
    padded, found = pad(x, (1, 1, 1, 1)), im2col(x)
    places = [(n, y, z) for n in range(3) for y in range(0, 6, 2) for z in range(0, 6, 2)]
    assert found.shape == (len(places), 32)
    for row, (n, y, z) in zip(found, places, strict=True):
        assert torch.equal(row, padded[n, :, y : y + 4, z : z + 4].permute(1, 2, 0).flatten())


def test_no_weight_is_copied() -> None:
    module = DownsampleConv2d(5, 7).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module(torch.randn(3, 5, 4, 4)).sum().backward()
    assert module.weight.grad is not None
    assert module.weight.grad.stride() == module.weight.stride()
    assert module.weight.permute(0, 2, 3, 1).is_contiguous()
