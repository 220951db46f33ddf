"""One training step of AnoGAN's DCGAN: both networks are updated from the same forward passes."""

import torch
from torch import Tensor

from pipeline.models.gan import Gan
from pipeline.models.losses import discriminator_loss, generator_adversarial_loss
from pipeline.settings.model import LossSettings


def train_step(gan: Gan, x: Tensor, settings: LossSettings) -> dict[str, Tensor]:
    """Update G and D once on a batch x, (N, C, S, S) in [-1, 1], of normal patches.

    z is drawn uniformly from [-1, 1] by torch's global random generator.

    Returns:
        The mean losses of the batch, detached scalars, by name.
    """
    z = 2 * torch.rand(len(x), settings.latent_dim, device=x.device, dtype=x.dtype) - 1
    with gan.step():
        with gan.autocast(x):
            x_fake = gan.generator(z).to(x.dtype)
            seen = x_fake.detach().requires_grad_()  # separates G's graph from D's
            real_logits = gan.discriminator(x)[0].to(x.dtype)
            fake_logits = gan.discriminator(seen)[0].to(x.dtype)
        loss_g = generator_adversarial_loss(fake_logits)
        (gradient,) = torch.autograd.grad(loss_g, seen, retain_graph=True)
        loss_d = discriminator_loss(real_logits, fake_logits)
        loss_d.backward(inputs=list(gan.discriminator.parameters()))
        x_fake.backward(gradient)
    return {"loss_g": loss_g.detach(), "loss_d": loss_d.detach()}
