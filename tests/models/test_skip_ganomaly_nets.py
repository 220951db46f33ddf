from typing import Any

import pytest
import torch
from torch import nn

from pipeline.common.errors import InputError
from pipeline.models.methods.skip_ganomaly.nets import Generator, build_networks
from pipeline.models.nets import Discriminator, NetShape, fold_batch_norm
from tests.models.plain import SHAPE as SMALL
from tests.models.plain import assert_same_network, halving, some_batch


def shape_of(side: int, **changes: Any) -> NetShape:
    return NetShape(
        **{"side": side, "channels": 3, "ngf": 8, "ndf": 8, "latent_dim": 12, **changes}
    )


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(side: int, channels: int) -> None:
    shape = shape_of(side, channels=channels)
    x = torch.zeros(2, channels, side, side)
    x_hat = Generator(shape)(x)
    assert x_hat.shape == x.shape
    assert x_hat.abs().max() <= 1
    logits, features = Discriminator(shape)(x)
    assert logits.shape == (2,)
    assert features.shape == (2, 12)


@pytest.mark.parametrize("side", [32, 64])
def test_latent_dim_is_the_bottleneck_and_the_length_of_f(side: int) -> None:
    generator = Generator(shape_of(side))
    z = torch.zeros(2, 3, side, side)
    for level in generator.encoder:
        z = level(z)
    assert z.shape == (2, 12, 1, 1)
    assert len(generator.encoder) == {32: 5, 64: 6}[side]  # "five blocks" at 32 pixels


def test_the_paper_s_widths() -> None:
    generator = Generator(shape_of(64, ngf=64, latent_dim=100))
    convolutions = [m for m in generator.encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512, 512, 100]
    assert [c.kernel_size[0] for c in convolutions] == [4, 4, 4, 4, 4, 2]


def doubling(wide: int, narrow: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)


class PlainGenerator(nn.Module):
    """G of torch's own layers, none in place, at a side of 16, ngf = 4 and d = 6."""

    def __init__(self) -> None:
        super().__init__()
        leaky, relu = nn.LeakyReLU(0.2), nn.ReLU()
        self.encoder = nn.ModuleList(
            [
                halving(3, 4),
                nn.Sequential(leaky, halving(4, 8), nn.BatchNorm2d(8)),
                nn.Sequential(leaky, halving(8, 16), nn.BatchNorm2d(16)),
                nn.Sequential(leaky, nn.Conv2d(16, 6, 2, bias=False)),
            ]
        )
        innermost = nn.ConvTranspose2d(6, 16, 2, bias=False)
        last = nn.ConvTranspose2d(8, 3, 4, 2, 1)
        self.decoder = nn.ModuleList(
            [
                nn.Sequential(relu, innermost, nn.BatchNorm2d(16)),
                nn.Sequential(relu, doubling(32, 8), nn.BatchNorm2d(8)),
                nn.Sequential(relu, doubling(16, 4), nn.BatchNorm2d(4)),
                nn.Sequential(relu, last, nn.Tanh()),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [x]
        for level in self.encoder:
            seen.append(level(seen[-1]))
        x = self.decoder[0](seen[-1])
        for level, skip in zip(self.decoder[1:], seen[-2:0:-1], strict=True):
            x = level(torch.cat([skip, x], dim=1))
        return x


def test_the_generator_is_that_of_figure_3() -> None:
    assert_same_network(Generator(SMALL), PlainGenerator(), some_batch(3))


@pytest.mark.parametrize("side", [32, 64])
def test_no_weight_is_dead(side: int) -> None:
    shape = shape_of(side)
    generator, discriminator = build_networks(shape, 0).values()
    x = torch.randn(4, 3, side, side)
    logits, _ = discriminator(generator(x))
    logits.square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            if parameter.ndim == 4:  # each tap of each kernel gets a gradient somewhere
                taps = parameter.grad.abs().amax(dim=(0, 1))
                assert (taps > 0).all(), name


def test_initialisation_really_applied() -> None:
    for network in build_networks(shape_of(64, ngf=32, ndf=32), seed=1).values():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                assert abs(module.weight.std().item() - 0.02) < 0.002
                assert abs(module.weight.mean().item()) < 0.002
            if isinstance(module, nn.BatchNorm2d):
                assert abs(module.weight.mean().item() - 1) < 0.02
                assert 0.005 < module.weight.std().item() < 0.04
                assert module.bias.abs().max() == 0


def test_the_seed_alone_decides_the_weights() -> None:
    first, again, other = (build_networks(shape_of(32), seed)["generator"] for seed in (5, 5, 6))
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@pytest.mark.parametrize("side", [8, 20, 48])
def test_sides_that_do_not_halve_to_one_are_refused(side: int) -> None:
    with pytest.raises(InputError, match=f"got {side}"):
        shape_of(side)


@pytest.mark.parametrize("side", [16, 32])
def test_folded_networks_give_the_same(side: int) -> None:
    x = torch.rand(6, 3, side, side, dtype=torch.float64) * 2 - 1
    networks = build_networks(shape_of(side), 0).values()
    generator, discriminator = (network.double() for network in networks)
    discriminator(generator(x))  # running statistics of their own
    with torch.no_grad():
        x_hat = generator.eval()(x)
        logits, features = discriminator.eval()(x)
        for network in (generator, discriminator):
            fold_batch_norm(network)
            assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        torch.testing.assert_close(generator(x), x_hat, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(discriminator(x)[0], logits, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(discriminator(x)[1], features, rtol=1e-10, atol=1e-10)
