"""One training step of Skip-GANomaly: both networks are updated from the same forward passes."""

import torch
from torch import Tensor

from pipeline.models.gan import Gan
from pipeline.models.losses import (
    GeneratorLosses,
    discriminator_loss,
    generator_adversarial_loss,
    latent_distance,
    residual,
)
from pipeline.settings.model import LossSettings


def train_step(gan: Gan, x: Tensor, settings: LossSettings) -> dict[str, Tensor]:
    """Update G and D once on a batch x, (N, C, S, S) in [-1, 1], of normal patches.

    D runs once on x and once on x_hat. Both losses and all gradients come from these passes; then
    both networks are updated. So G's gradient goes through D as D was before the step, and D's
    gradient comes from the x_hat of G as G was before the step. (The authors' code updates G first
    and then takes D's gradient through the updated G, which today's torch refuses.)

    Returns:
        The mean losses of the batch, detached scalars, by name.
    """
    discriminator = gan.discriminator
    with gan.step():
        with gan.autocast(x):
            x_hat = gan.generator(x).to(x.dtype)
            real_logits, real_features = (output.to(x.dtype) for output in discriminator(x))
            fake_logits, fake_features = (output.to(x.dtype) for output in discriminator(x_hat))
        losses = GeneratorLosses(
            adversarial=generator_adversarial_loss(fake_logits),  # Equation 1
            contextual=residual(x, x_hat).mean(),  # Equation 2
            latent=latent_distance(real_features.detach(), fake_features).mean(),  # Equation 3
        )
        loss_d = discriminator_loss(real_logits, fake_logits)
        # Two of G's losses reach x_hat through D, the contextual loss reaches it directly.
        through_d = settings.lambda_adv * losses.adversarial + settings.lambda_lat * losses.latent
        (pull,) = torch.autograd.grad(through_d, x_hat, retain_graph=True)
        loss_d.backward(inputs=list(discriminator.parameters()))  # D alone, not x_hat again
        (settings.lambda_con * losses.contextual + (x_hat * pull).sum()).backward()
    return {**losses.by_name(settings), "loss_d": loss_d.detach()}
