"""EGBAD's networks: a BiGAN's generator, encoder, and discriminator of pairs.

Shapes: N patches, C channels, S the patch's side, d = latent_dim. The paper gives networks for
MNIST only. Here G and E are the DCGAN's, and at ndf = 64 D's dense layers have the paper's widths
(1024 for x, 512 for z, 1024 for both). Deviation: D has no dropout; the paper has 0.5.
"""

import torch
from torch import Tensor, nn

from pipeline.models.nets import (
    LEAK,
    Decoder,
    Encoder,
    NetShape,
    dcgan_encoder,
    init_weights,
    seeded,
)


class PairDiscriminator(nn.Module):
    """Discriminator D of (x, E(x)) against (G(z), z). f(.) is the layer before the logits."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        widths = [shape.ndf * 2**i for i in range(shape.levels - 2)]  # down to a 4x4 map
        of_patch, of_code, of_both = 16 * shape.ndf, 8 * shape.ndf, 16 * shape.ndf
        self.patches = nn.Sequential(
            *dcgan_encoder(shape.channels, widths, of_patch), nn.LeakyReLU(LEAK)
        )
        self.codes = nn.Sequential(nn.Linear(shape.latent_dim, of_code), nn.LeakyReLU(LEAK))
        self.both = nn.Sequential(nn.Linear(of_patch + of_code, of_both), nn.LeakyReLU(LEAK))
        self.classifier = nn.Linear(of_both, 1)
        init_weights(self)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of "real", (N,), and f(x, z), (N, 16 ndf), of x (N, C, S, S), z (N, d)."""
        features = self.both(torch.cat([self.patches(x), self.codes(z)], dim=1))
        return self.classifier(features).squeeze(1), features


def build_networks(shape: NetShape, seed: int) -> dict[str, nn.Module]:
    """Build G, E and D with weights drawn from `seed` alone."""
    with seeded(seed):
        return {
            "generator": Decoder(shape),
            "encoder": Encoder(shape),
            "discriminator": PairDiscriminator(shape),
        }
