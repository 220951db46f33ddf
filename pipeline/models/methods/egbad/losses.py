"""The losses of EGBAD, which are the BiGAN's (Donahue et al., ICLR 2017). Logits are (N,)."""

from torch import Tensor

from pipeline.models.losses import discriminator_loss


def pair_discriminator_loss(encoded_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Return the loss of D: mean of -log D(x, E(x)) - log(1 - D(G(z), z))."""
    return discriminator_loss(encoded_logits, generated_logits)


def deceiving_loss(encoded_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Return the loss of G and E: mean of -log D(G(z), z) - log(1 - D(x, E(x))).

    G and E make D take each kind of pair for the other. This usual form has gradients while D wins.
    """
    return discriminator_loss(generated_logits, encoded_logits)
