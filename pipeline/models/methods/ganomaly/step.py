"""One training step of GANomaly: both networks are updated from the same forward passes.

Equation numbers are GANomaly's.
"""

import torch
from torch import Tensor

from pipeline.models.gan import Gan
from pipeline.models.losses import GeneratorLosses, discriminator_loss, latent_distance, residual
from pipeline.settings.model import LossSettings


def train_step(gan: Gan, x: Tensor, settings: LossSettings) -> dict[str, Tensor]:
    """Update G and D once on a batch x, (N, C, S, S) in [-1, 1], of normal patches.

    D has the usual GAN loss on x and x_hat. G's adversarial loss uses D's f(.), not D's logits.
    Deviations: the norm of pixels is a mean, since a sum would outweigh the other terms; the
    authors' code takes means of squares in Equations 1 and 3, the paper's text Euclidean norms.

    Returns:
        The mean losses of the batch, detached scalars, by name.
    """
    with gan.step():
        with gan.autocast(x):
            x_hat, z, z_hat = (output.to(x.dtype) for output in gan.generator(x))
            seen = x_hat.detach().requires_grad_()  # separates G's graph from D's
            real_logits, real_features = (output.to(x.dtype) for output in gan.discriminator(x))
            fake_logits, fake_features = (output.to(x.dtype) for output in gan.discriminator(seen))
        losses = GeneratorLosses(
            adversarial=latent_distance(real_features.detach(), fake_features).mean(),  # Equation 1
            contextual=residual(x, x_hat).mean(),  # Equation 2
            latent=latent_distance(z, z_hat).mean(),  # Equation 3
        )
        through_d = settings.lambda_adv * losses.adversarial
        (gradient,) = torch.autograd.grad(through_d, seen, retain_graph=True)
        loss_d = discriminator_loss(real_logits, fake_logits)
        loss_d.backward(inputs=list(gan.discriminator.parameters()))  # D alone, not `seen` again
        direct = settings.lambda_con * losses.contextual + settings.lambda_lat * losses.latent
        (direct + (x_hat * gradient).sum()).backward()
    return {**losses.by_name(settings), "loss_d": loss_d.detach()}
