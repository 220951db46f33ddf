"""Parts of the methods' networks: the DCGAN's blocks, discriminator and initialisation.

Shapes: N patches, C channels, S the patch's side, d = latent_dim. Sections and figures are
Skip-GANomaly's (IJCNN 2019). Where the paper's text leaves something open, the authors' released
code decides, and a comment at the line says so.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline.common.errors import InputError
from pipeline.models.convolutions import (
    DownsampleConv2d,
    FromPointConvTranspose2d,
    UpsampleConvTranspose2d,
    WholeMapConv2d,
)

FeatureLayer = Literal["last", "penultimate"]

LEAK = 0.2  # slope of LeakyReLU, as in DCGAN and the authors' code
EARLY_CELLS = 8  # early features are means over the cells of an 8x8 grid
MAX_WIDENING = 8  # of G and encoders, 1, 2, 4, 8, 8 ...: the authors' code; the text is silent


@dataclass(frozen=True)
class NetShape:
    """Sizes of the networks.

    Attributes:
        side: S, side of a patch in pixels: a power of 2, 16 or more.
        channels: C, channels of a patch.
        ngf, ndf: width of the first layer of G and of D.
        latent_dim: d, bottleneck width of G and length of f(.) of D.
    """

    side: int
    channels: int
    ngf: int
    ndf: int
    latent_dim: int

    def __post_init__(self) -> None:
        if self.side < 16 or self.side & (self.side - 1):
            raise InputError(
                f"extract.size: the network takes patches whose side is a power of 2, 16 or more, "
                f"got {self.side}"
            )

    @property
    def levels(self) -> int:
        """The number of halvings from the side to 1 pixel (5 at 32 pixels, as in the paper)."""
        return int(log2(self.side))


class Discriminator(nn.Module):
    """D: the DCGAN discriminator, which is also the feature extractor f(.) (section III-B2).

    f(.) is the linear output of the last convolution, (N, d); a linear layer classifies it.
    Deviation: the authors' classifier is a 3x3 convolution on a 1x1 map, of which 8 of 9 taps only
    meet padding. With `feature_layer` "penultimate", f(.) is the input of the last convolution:
    the activations on the 4x4 maps, (N, 16 * width of the maps).
    """

    def __init__(self, shape: NetShape, feature_layer: FeatureLayer = "last") -> None:
        super().__init__()
        widths = [shape.ndf * 2**i for i in range(shape.levels - 2)]  # down to a 4x4 map
        self.feature_layer = feature_layer
        self.features = dcgan_encoder(shape.channels, widths, shape.latent_dim)
        self.classifier = nn.Linear(shape.latent_dim, 1, bias=False)
        init_weights(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of "real", (N,), and f(x), (N, d), for x (N, C, S, S) in [-1, 1]."""
        maps = self.features[:-2](x)
        last = self.features[-2:](maps)
        features = last if self.feature_layer == "last" else maps.flatten(1)
        return self.classifier(last).squeeze(1), features

    def early_features(self, x: Tensor) -> Tensor:
        """Return the first convolution's activations, averaged over 8x8 cells: (N, 64 ndf)."""
        maps = leaky_relu()(self.features[0](x))
        return adaptive_avg_pool2d(maps, EARLY_CELLS).flatten(1)


class Encoder(nn.Module):
    """The DCGAN's encoder: x, (N, C, S, S) in [-1, 1], to z, (N, d), linear."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.levels = dcgan_encoder(shape.channels, _widths(shape), shape.latent_dim)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Encode patches."""
        return self.levels(x)


class Decoder(nn.Module):
    """The DCGAN's generator: z, (N, d), to x_hat, (N, C, S, S) in [-1, 1]; `Encoder` mirrored."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.latent_dim = shape.latent_dim
        widths = _widths(shape)[::-1]
        first = FromPointConvTranspose2d(shape.latent_dim, widths[0], 4)
        self.levels = nn.Sequential(
            nn.Sequential(first, nn.BatchNorm2d(widths[0])),
            *(up_block(UpsampleConvTranspose2d(wide, narrow)) for wide, narrow in pairwise(widths)),
            relu(),
            UpsampleConvTranspose2d(widths[-1], shape.channels, bias=True),
            nn.Tanh(),
        )
        init_weights(self)

    def forward(self, z: Tensor) -> Tensor:
        """Decode latent codes."""
        return self.levels(z[:, :, None, None])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's random draws in the `with` block; restore the global generator after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def initialise(module: nn.Module) -> None:
    """Initialise as DCGAN does: weights N(0, 0.02), batch-norm scales N(1, 0.02), biases 0.

    Networks on the meta device are skipped: they have no values, and drawing there would import
    torch's compiler.
    """
    if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        return
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def init_weights(network: nn.Module) -> None:
    """Draw the weights, and lay them out channels last, in which convolutions run fastest."""
    network.apply(initialise)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def leaky_relu() -> nn.LeakyReLU:
    """Return the activation of encoders and D, which overwrites the output of a convolution.

    A skip connection may carry this output too. That is safe: only negative values change, and
    the ReLU after the skip connection maps all of them to 0.
    """
    return nn.LeakyReLU(LEAK, inplace=True)


def relu() -> nn.ReLU:
    """Return the activation of decoders, in place."""
    return nn.ReLU(inplace=True)


def dcgan_encoder(channels: int, widths: Sequence[int], out_features: int) -> nn.Sequential:
    """Return the DCGAN's encoder: (N, channels, S, S) to (N, out_features), linear.

    Each level halves the side by a 4x4 convolution. The last convolution takes a whole 4x4 map.
    """
    return nn.Sequential(
        DownsampleConv2d(channels, widths[0]),  # no batch-norm, as in DCGAN; the text has one
        *(down_block(narrow, wide) for narrow, wide in pairwise(widths)),
        leaky_relu(),
        WholeMapConv2d(widths[-1], out_features, 4),
        nn.Flatten(),  # (N, out_features, 1, 1) to (N, out_features)
    )


def down_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return an activation, a 4x4 convolution that halves the side, and batch-norm."""
    convolution = DownsampleConv2d(in_channels, out_channels)
    return nn.Sequential(leaky_relu(), convolution, nn.BatchNorm2d(out_channels))


def up_block(convolution: nn.ConvTranspose2d) -> nn.Sequential:
    """Return an activation, a transposed convolution that enlarges the map, and batch-norm."""
    return nn.Sequential(relu(), convolution, nn.BatchNorm2d(convolution.out_channels))


def fold_batch_norm(network: nn.Module) -> None:
    """Fold each batch-norm into the convolution before it, for scoring alone.

    The network must be in evaluation mode. Afterwards, no saved state can be loaded into it.
    """
    for block in network.modules():
        if isinstance(block, nn.Sequential) and isinstance(block[-1], nn.BatchNorm2d):
            transposed = isinstance(block[-2], nn.ConvTranspose2d)
            convolution = cast(nn.Conv2d, block[-2])  # or a transposed one
            block[-2] = fuse_conv_bn_eval(convolution, block[-1], transposed)
            del block[-1]


def features_of_both(discriminator: nn.Module, x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(x) and f(x_hat) of a `Discriminator`."""
    if discriminator.training:  # batch-norm makes the patches of one pass depend on each other
        return discriminator(x)[1], discriminator(x_hat)[1]
    # In evaluation mode a patch's features do not depend on its batch: one pass for both.
    features, features_hat = discriminator(torch.cat([x, x_hat]))[1].chunk(2)
    return features, features_hat


def _widths(shape: NetShape) -> list[int]:
    """Return the widths of the levels down to a 4x4 map."""
    return [shape.ngf * min(2**i, MAX_WIDENING) for i in range(shape.levels - 2)]
