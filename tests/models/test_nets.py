"""The networks that the methods share, against the same layers of torch's own."""

from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from pipeline.models.nets import (
    LEAK,
    Decoder,
    Discriminator,
    Encoder,
    FeatureLayer,
    NetShape,
    features_of_both,
    leaky_relu,
    relu,
    seeded,
)
from tests.models.plain import assert_same_network, halving

SHAPE = NetShape(side=128, channels=1, ngf=2, ndf=3, latent_dim=7)  # where widths stop growing
LEAKY = nn.LeakyReLU(0.2)
WIDTHS = pytest.mark.parametrize(
    ("side", "widths"),
    [(32, [2, 4, 8]), (128, [2, 4, 8, 16, 16])],  # times the first, at most 8
)


def down(*widths: int) -> list[nn.Module]:
    """A first convolution, and for each further width an activation, a convolution, a norm."""
    layers: list[nn.Module] = [halving(widths[0], widths[1])]
    for narrow, wide in pairwise(widths[1:]):
        layers += [LEAKY, halving(narrow, wide), nn.BatchNorm2d(wide)]
    return layers


def doubling(wide: int, narrow: int, bias: bool = False) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=bias)


def some_patches(count: int, side: int = 128) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, 1, side, side, generator=generator, dtype=torch.float64) * 2 - 1


@WIDTHS
def test_the_encoder_is_the_dcgan_s(side: int, widths: list[int]) -> None:
    last = nn.Conv2d(widths[-1], 7, 4, bias=False)
    plain = nn.Sequential(*down(1, *widths), LEAKY, last, nn.Flatten())
    assert_same_network(Encoder(replace(SHAPE, side=side)), plain, some_patches(2, side))


@WIDTHS
def test_the_decoder_is_the_dcgan_s(side: int, widths: list[int]) -> None:
    inner = widths[-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(7, inner, 4, bias=False), nn.BatchNorm2d(inner)]
    for wide, narrow in pairwise(widths[::-1]):
        layers += [nn.ReLU(), doubling(wide, narrow), nn.BatchNorm2d(narrow)]
    plain = nn.Sequential(
        nn.Unflatten(1, (7, 1, 1)), *layers, nn.ReLU(), doubling(2, 1, bias=True), nn.Tanh()
    )
    decoder = Decoder(replace(SHAPE, side=side))
    assert decoder.latent_dim == 7
    z = torch.randn(2, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert_same_network(decoder, plain, z)


@pytest.mark.parametrize("layer", ["last", "penultimate"])
def test_the_discriminator_is_the_dcgan_s_whose_widths_all_grow(layer: FeatureLayer) -> None:
    maps = nn.Sequential(*down(1, 3, 6, 12, 24, 48), LEAKY)
    last = nn.Sequential(nn.Conv2d(48, 7, 4, bias=False), nn.Flatten())
    discriminator = Discriminator(NetShape(128, 1, 2, 3, 7), layer)
    plain = nn.Sequential(maps, last, nn.Linear(7, 1, bias=False), nn.Flatten(0))
    assert_same_network(discriminator, plain, some_patches(2), of=lambda outputs: outputs[0])
    x = some_patches(3)
    features = {"last": plain[:2], "penultimate": nn.Sequential(maps, nn.Flatten())}[layer]
    torch.testing.assert_close(discriminator(x)[1], features(x), rtol=1e-9, atol=1e-9)


def test_early_features_are_means_of_the_first_activations() -> None:
    discriminator = Discriminator(NetShape(side=32, channels=1, ngf=4, ndf=2, latent_dim=5))
    x = some_patches(3, side=32)
    maps = conv2d(x, cast(Tensor, discriminator.double().features[0].weight), stride=2, padding=1)
    active = torch.where(maps > 0, maps, LEAK * maps)  # (3, 2, 16, 16)
    expected = [
        active[row, channel, y : y + 2, x : x + 2].mean()
        for row in range(3)
        for channel in range(2)
        for y in range(0, 16, 2)
        for x in range(0, 16, 2)
    ]
    found = discriminator.early_features(x)
    assert found.shape == (3, 128)
    torch.testing.assert_close(found.ravel(), torch.stack(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_features_of_both_are_those_of_each_alone(training: bool) -> None:
    discriminator = Discriminator(NetShape(16, 1, 2, 3, 7)).double().train(training)
    x, x_hat = some_patches(3, side=16), some_patches(6, side=16)[3:].square()
    found = features_of_both(discriminator, x, x_hat)
    for features, each in zip(found, (x, x_hat), strict=True):
        torch.testing.assert_close(features, discriminator(each)[1], rtol=1e-9, atol=1e-12)


def test_the_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    with seeded(5):
        drawn = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_weights_are_laid_out_channels_last() -> None:
    for network in (Encoder(SHAPE), Decoder(SHAPE), Discriminator(SHAPE)):
        kernels = [weight for weight in network.parameters() if weight.ndim == 4]
        assert all(each.is_contiguous(memory_format=torch.channels_last) for each in kernels)


def test_activations_are_in_place() -> None:
    for activation, expected in ((leaky_relu(), [-0.2, 2.0]), (relu(), [0.0, 2.0])):
        x = torch.tensor([-1.0, 2.0])
        assert activation(x) is x
        torch.testing.assert_close(x, torch.tensor(expected))


@pytest.mark.parametrize("side", [16, 128])
def test_a_side_is_halved_until_one_pixel_is_left(side: int) -> None:
    assert side == 2 ** NetShape(side, 1, 2, 3, 7).levels
