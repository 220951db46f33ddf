"""The losses of EGBAD, which are the BiGAN's (Donahue et al., ICLR 2017). Logits are (N,)."""

from torch import Tensor

from pipeline.models.losses import discriminator_loss


def pair_discriminator_loss(encoded_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """For D: mean of -log D(x, E(x)) - log(1 - D(G(z), z))."""
    return discriminator_loss(encoded_logits, generated_logits)


def deceiving_loss(encoded_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """For G and E, which want each pair taken for the other: -log D(G(z), z) - log(1 - D(x, E(x))).

    The form that has a gradient while D wins, as is usual.
    """
    return discriminator_loss(generated_logits, encoded_logits)
