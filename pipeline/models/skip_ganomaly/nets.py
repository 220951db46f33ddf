"""The generator and the discriminator (section III-B and Figure 3).

Shapes: N patches, C channels, S the patch's side, d = latent_dim. Where the paper's text leaves
something open, the authors' released code decides, and the line says so.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import log2
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline.errors import InputError
from pipeline.models.skip_ganomaly.convolutions import (
    DoublingConv2d,
    FromPointConv2d,
    HalvingConv2d,
    WholeMapConv2d,
    join,
)

LEAK = 0.2  # slope of LeakyReLU, as in DCGAN and the authors' code
MAX_WIDENING = 8  # widths grow 1, 2, 4, 8, 8 ...: the authors' code; the text gives no widths


@dataclass(frozen=True)
class NetShape:
    """What the nets are built from.

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
        """How often the side is halved before 1 pixel is left (5 at 32 pixels, as in the text)."""
        return int(log2(self.side))


class Generator(nn.Module):
    """G: bow-tie encoder and decoder with skip connections, x to x_hat, both (N, C, S, S).

    Encoder level i maps S / 2^i to S / 2^(i+1) by a 4x4 convolution of stride 2; the innermost
    gives z, (N, d, 1, 1). Every decoder level but the innermost also sees the output of the
    encoder level of its own size. Values are in [-1, 1].

    Deviation from the authors' code: there z is always 8 ngf wide; here it is d wide, as the
    text says (section III-B2, Figure 8). And the innermost kernels are 2x2 instead of 4x4: on a
    2x2 map padded by 1, the 12 outer taps only ever meet padding.
    """

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        widths = [shape.ngf * min(2**i, MAX_WIDENING) for i in range(shape.levels - 1)]
        inner = widths[-1]
        self.encoder = nn.ModuleList(
            [
                HalvingConv2d(shape.channels, widths[0]),
                *(_down(narrow, wide) for narrow, wide in pairwise(widths)),
                nn.Sequential(
                    nn.LeakyReLU(LEAK),
                    WholeMapConv2d(inner, shape.latent_dim, 2),
                ),
            ]
        )
        self.decoder = nn.ModuleList(
            [
                _up(FromPointConv2d(shape.latent_dim, inner, 2), inner),
                *(
                    _up(DoublingConv2d(2 * wide, narrow), narrow)
                    for wide, narrow in pairwise(widths[::-1])
                ),
                nn.Sequential(
                    nn.ReLU(),
                    DoublingConv2d(2 * widths[0], shape.channels, bias=True),
                    nn.Tanh(),
                ),
            ]
        )
        _finish(self)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct x, (N, C, S, S) in [-1, 1], as x_hat of the same shape and range."""
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        x = self.decoder[0](skips.pop())
        for level in self.decoder[1:]:
            x = level(join(skips.pop(), x))
        return x


class Discriminator(nn.Module):
    """D: the DCGAN discriminator, which is also the feature extractor f(.) (section III-B2).

    f(.) is the output of its last convolution, linear, (N, d); the classifier is a linear layer
    on it. Deviation from the authors' code: the classifier there is a 3x3 convolution on a 1x1
    map, of which 8 of 9 taps only meet padding.
    """

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        widths = [shape.ndf * 2**i for i in range(shape.levels - 2)]  # down to a 4x4 map
        self.features = nn.Sequential(
            HalvingConv2d(shape.channels, widths[0]),
            *(_down(narrow, wide) for narrow, wide in pairwise(widths)),
            nn.LeakyReLU(LEAK),
            WholeMapConv2d(widths[-1], shape.latent_dim, 4),
            nn.Flatten(),  # (N, d, 1, 1) to (N, d)
        )
        self.classifier = nn.Linear(shape.latent_dim, 1, bias=False)
        _finish(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of "real", (N,), and features f(x), (N, d), of x (N, C, S, S) in [-1, 1]."""
        features = self.features(x)
        return self.classifier(features).squeeze(1), features


def initialise(module: nn.Module) -> None:
    """DCGAN's: weights N(0, 0.02), batch-norm scales N(1, 0.02), biases 0."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def fold_batch_norm(network: nn.Module) -> None:
    """For scoring alone: let each convolution do what the batch-norm after it does.

    The network has to be in evaluation mode; its state can't be loaded any more.
    """
    for block in network.modules():
        if isinstance(block, nn.Sequential) and isinstance(block[-1], nn.BatchNorm2d):
            transposed = isinstance(block[-2], nn.ConvTranspose2d)
            convolution = cast(nn.Conv2d, block[-2])  # or a transposed one
            block[-2] = fuse_conv_bn_eval(convolution, block[-1], transposed)
            del block[-1]


def _finish(network: nn.Module) -> None:
    """Draw the weights, and lay them out as convolutions run fastest, channels last."""
    network.apply(initialise)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _down(narrow: int, wide: int) -> nn.Sequential:
    """Activation, 4x4 convolution that halves the side, batch-norm."""
    return nn.Sequential(nn.LeakyReLU(LEAK), HalvingConv2d(narrow, wide), nn.BatchNorm2d(wide))


def _up(convolution: nn.ConvTranspose2d, narrow: int) -> nn.Sequential:
    """Activation, transposed convolution that doubles the side, batch-norm."""
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(narrow))
