"""GANomaly's generator (encoder, decoder and second encoder), and the method's networks.

Shapes: N patches, C channels, S the patch's side, d = latent_dim.
"""

from torch import Tensor, nn

from pipeline.models.nets import Decoder, Discriminator, Encoder, NetShape, seeded


class Generator(nn.Module):
    """Generator G: from x to z = G_E(x), x_hat = G_D(z) and z_hat = E(x_hat)."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.second_encoder = Encoder(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_hat, (N, C, S, S) in [-1, 1] like x, then z and z_hat, (N, d)."""
        z = self.encoder(x)
        x_hat = self.decoder(z)
        return x_hat, z, self.second_encoder(x_hat)


def build_networks(shape: NetShape, seed: int) -> dict[str, nn.Module]:
    """Build G and D with weights drawn from `seed` alone; f(.) is an intermediate layer of D."""
    with seeded(seed):
        return {
            "generator": Generator(shape),
            "discriminator": Discriminator(shape, "penultimate"),
        }
