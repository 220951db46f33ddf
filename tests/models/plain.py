"""What the methods' tests compare with: torch's own convolutions, and losses by hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from pipeline.models.convolutions import (
    DownsampleConv2d,
    FromPointConvTranspose2d,
    UpsampleConvTranspose2d,
    WholeMapConv2d,
)
from pipeline.models.gan import Gan, build_gan
from pipeline.models.nets import NetShape
from pipeline.settings.methods import MethodName
from tests.models.methods import method_named
from tests.tiny import MODEL

SHAPE = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=6)


@contextmanager
def plain_convolutions() -> Iterator[None]:
    """Every convolution as torch's own."""
    with pytest.MonkeyPatch.context() as patch:
        for ours in (DownsampleConv2d, WholeMapConv2d):
            patch.setattr(ours, "forward", nn.Conv2d.forward)
        for transposed in (UpsampleConvTranspose2d, FromPointConvTranspose2d):
            patch.setattr(transposed, "forward", nn.ConvTranspose2d.forward)
        yield


def halving(narrow: int, wide: int) -> nn.Conv2d:
    return nn.Conv2d(narrow, wide, 4, 2, 1, bias=False)


def assert_same_network(
    ours: nn.Module,
    plain: nn.Module,
    *inputs: Tensor,
    of: Callable[..., Tensor] = lambda output: output,
) -> None:
    """Both have weights of the same shapes, in the same order, and give the same."""
    weights = ours.double().state_dict().values()
    plain.double().load_state_dict(dict(zip(plain.state_dict(), weights, strict=True)))
    torch.testing.assert_close(of(ours(*inputs)), plain(*inputs), rtol=1e-9, atol=1e-12)


def double_gan(name: MethodName) -> Gan:
    networks = method_named(name).build_networks(SHAPE, 0)
    return build_gan({key: network.double() for key, network in networks.items()}, MODEL)


def some_batch(count: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, SHAPE.channels, SHAPE.side, SHAPE.side)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def taken_for_real(logits: Tensor) -> Tensor:
    return -torch.log(1 / (1 + torch.exp(-logits))).mean()


def taken_for_fake(logits: Tensor) -> Tensor:
    return -torch.log(1 - 1 / (1 + torch.exp(-logits))).mean()


def gradients(loss: Tensor, *networks: nn.Module) -> list[Tensor]:
    parameters = [p for network in networks for p in network.parameters()]
    return list(torch.autograd.grad(loss, parameters))


def assert_moved_by(gan: Gan, expected: list[Tensor]) -> None:
    """The step left these gradients, networks in their order."""
    found = [p.grad for network in gan.networks.values() for p in network.parameters()]
    for gradient, reference in zip(found, expected, strict=True):
        assert gradient is not None
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-11)
