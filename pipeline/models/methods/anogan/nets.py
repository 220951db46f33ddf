"""AnoGAN's networks: a DCGAN, whose discriminator gives the features that the search matches."""

from torch import nn

from pipeline.models.nets import Decoder, Discriminator, NetShape, seeded


def build_networks(shape: NetShape, seed: int) -> dict[str, nn.Module]:
    """Build G and D with weights drawn from `seed` alone; f(.) is an intermediate layer of D."""
    with seeded(seed):
        return {
            "generator": Decoder(shape),
            "discriminator": Discriminator(shape, "penultimate"),
        }
