"""One training step of EGBAD: all networks are updated from the same forward passes.

The losses are the BiGAN's (Donahue et al., ICLR 2017).
"""

import torch
from torch import Tensor

from pipeline.models.gan import Gan
from pipeline.models.losses import discriminator_loss
from pipeline.settings.model import LossSettings


def train_step(gan: Gan, x: Tensor, settings: LossSettings) -> dict[str, Tensor]:
    """Update G, E and D once on a batch x, (N, C, S, S) in [-1, 1], of normal patches.

    z is drawn from N(0, 1) by torch's global random generator.

    Returns:
        The mean losses of the batch, detached scalars, by name.
    """
    z = torch.randn(len(x), settings.latent_dim, device=x.device, dtype=x.dtype)
    with gan.step():
        with gan.autocast(x):
            z_hat = gan.networks["encoder"](x).to(x.dtype)
            x_fake = gan.generator(z).to(x.dtype)
            # Separates the graphs of E and G from D's.
            seen_z, seen_x = z_hat.detach().requires_grad_(), x_fake.detach().requires_grad_()
            encoded_logits = gan.discriminator(x, seen_z)[0].to(x.dtype)
            generated_logits = gan.discriminator(seen_x, z)[0].to(x.dtype)
        # G and E make D take each kind of pair for the other; so they have gradients while D wins.
        loss_g = discriminator_loss(generated_logits, encoded_logits)
        gradients = torch.autograd.grad(loss_g, [seen_z, seen_x], retain_graph=True)
        loss_d = discriminator_loss(encoded_logits, generated_logits)
        loss_d.backward(inputs=list(gan.discriminator.parameters()))
        torch.autograd.backward([z_hat, x_fake], list(gradients))
    return {"loss_g": loss_g.detach(), "loss_d": loss_d.detach()}
