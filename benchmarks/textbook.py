"""The training step and the scoring in the authors' order, written from the paper and notes.

Other benchmarks measure against this textbook version: contiguous float32 tensors, a module for
each activation, plain Adam, and every pass that the order of the steps needs. The pipeline does not
use it.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam

from pipeline.models.nets import initialise

LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)
CONTEXTUAL_WEIGHT = 50.0
SCORE_BATCH = 64
CHANNELS, LATENT_DIM = 3, 100


class TextbookGenerator(nn.Module):
    """The authors' G: 4x4 kernels down to a bottleneck of 8 ngf, whose outer taps are dead."""

    def __init__(self, side: int, ngf: int) -> None:
        super().__init__()
        widths = [ngf * min(2**level, 8) for level in range(int(log2(side)))]
        self.down = nn.ModuleList([nn.Conv2d(CHANNELS, ngf, 4, 2, 1, bias=False)])
        self.up = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ReLU(inplace=True), nn.ConvTranspose2d(2 * ngf, CHANNELS, 4, 2, 1), nn.Tanh()
                )
            ]
        )
        for level, (narrow, wide) in enumerate(pairwise(widths), start=1):
            innermost = level == len(widths) - 1
            down = [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(narrow, wide, 4, 2, 1, bias=False)]
            seen = wide if innermost else 2 * wide
            up = nn.ConvTranspose2d(seen, narrow, 4, 2, 1, bias=False)
            norm = [] if innermost else [nn.BatchNorm2d(wide)]
            self.down.append(nn.Sequential(*down, *norm))
            self.up.append(nn.Sequential(nn.ReLU(inplace=True), up, nn.BatchNorm2d(narrow)))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Return x_hat, (N, C, S, S) in [-1, 1], of x of the same shape and range."""
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.up[-1](skips.pop())
        for up in reversed(self.up[:-1]):
            x = up(torch.cat([skips.pop(), x], dim=1))
        return x


class TextbookDiscriminator(nn.Module):
    """The authors' D: the classifier is a 3x3 convolution on a 1x1 map, and ends in a sigmoid."""

    def __init__(self, side: int, ndf: int) -> None:
        super().__init__()
        widths = [ndf * 2**level for level in range(int(log2(side)) - 2)]
        layers: list[nn.Module] = [
            nn.Conv2d(CHANNELS, ndf, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for narrow, wide in pairwise(widths):
            convolution = nn.Conv2d(narrow, wide, 4, 2, 1, bias=False)
            layers += [convolution, nn.BatchNorm2d(wide), nn.LeakyReLU(0.2, inplace=True)]
        self.features = nn.Sequential(*layers, nn.Conv2d(widths[-1], LATENT_DIM, 4, bias=False))
        self.classifier = nn.Sequential(nn.Conv2d(LATENT_DIM, 1, 3, 1, 1, bias=False), nn.Sigmoid())
        self.apply(initialise)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities of "real", (N,), and features f(x), (N, d, 1, 1)."""
        features = self.features(x)
        return self.classifier(features).flatten(), features


@dataclass
class Textbook:
    """Both networks and their optimisers."""

    generator: nn.Module
    discriminator: nn.Module
    optimisers: tuple[Adam, Adam]

    @classmethod
    def build(cls, side: int, width: int, device: torch.device | None = None) -> "Textbook":
        """Return networks of ngf = ndf = `width`, with plain Adam."""
        networks = TextbookGenerator(side, width), TextbookDiscriminator(side, width)
        for network in networks:
            network.to(device)
        first, second = (
            Adam(network.parameters(), lr=LEARNING_RATE, betas=BETAS, foreach=False)
            for network in networks
        )
        return cls(*networks, (first, second))


def textbook_step(model: Textbook, x: Tensor) -> None:
    """Run G and D forward, G's step, then D's step with forward passes of its own.

    G's losses go back through a D that is not frozen, and through f(x) too. The latent term of
    D's loss is taken on those passes of its own: the authors' goes back through the G that has
    just moved, which torch has refused since version 1.5.
    """
    bce, mse = nn.functional.binary_cross_entropy, nn.functional.mse_loss
    optimiser_g, optimiser_d = model.optimisers
    x_hat = model.generator(x)
    _, real_features = model.discriminator(x)
    fake, fake_features = model.discriminator(x_hat)
    adversarial = bce(fake, torch.ones_like(fake))
    contextual = CONTEXTUAL_WEIGHT * nn.functional.l1_loss(x_hat, x)
    optimiser_g.zero_grad()
    (adversarial + contextual + mse(fake_features, real_features)).backward()
    optimiser_g.step()

    optimiser_d.zero_grad()
    real, real_features = model.discriminator(x)
    fake, fake_features = model.discriminator(x_hat.detach())
    loss = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    (loss + mse(fake_features, real_features)).backward()
    optimiser_d.step()


@torch.no_grad()
def textbook_scores(
    generator: nn.Module, discriminator: nn.Module, pixels: NDArray[np.uint8]
) -> Tensor:
    """Score (N, S, S, C) patches by networks in evaluation mode, a batch at a time."""
    scores = []
    for start in range(0, len(pixels), SCORE_BATCH):
        batch = torch.from_numpy(pixels[start : start + SCORE_BATCH])
        x = batch.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
        x_hat = generator(x)
        difference = discriminator(x)[1] - discriminator(x_hat)[1]
        residuals = (x - x_hat).square().mean(dim=(1, 2, 3))
        scores.append(0.9 * residuals + 0.1 * difference.square().mean(dim=(1, 2, 3)))
    return torch.cat(scores)
