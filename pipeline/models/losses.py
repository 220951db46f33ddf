"""Losses and distances that the methods share; equation numbers are Skip-GANomaly's.

x and x_hat are (N, C, S, S) in [-1, 1]; f(x) and f(x_hat) are (N, d); logits are (N,).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.settings.model import LossSettings


def generator_adversarial_loss(fake_logits: Tensor) -> Tensor:
    """Equation 1, for G: mean of -log D(x_hat).

    Deviation: in Equation 1, G minimises log(1 - D(x_hat)), which has hardly any gradient while
    D wins. As is usual, the authors' code maximises log D(x_hat) instead.
    """
    return binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Equation 1, for D, which maximises it: mean of -log D(x) - log(1 - D(x_hat)).

    Deviation: the authors' code adds the latent loss to D's loss as well; in the paper's text, D's
    loss is Equation 1 only.
    """
    real = binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake


def residual(x: Tensor, x_hat: Tensor) -> Tensor:
    """R of each patch, (N,): mean |x - x_hat| over its pixels (Equation 2).

    Deviation: the norm in Equation 2 is a sum; this is the mean, as in the authors' code. At
    lambda_con = 40, a sum would outweigh the other terms ten-thousandfold.
    """
    return (x - x_hat).abs().mean(dim=(1, 2, 3))


def latent_distance(features: Tensor, features_hat: Tensor) -> Tensor:
    """L of each patch, (N,): Euclidean norm of f(x) - f(x_hat) (Equation 3).

    Deviation: the authors' code takes the mean of squares. The gradient is 0 where f(x) and
    f(x_hat) are equal.
    """
    return torch.linalg.vector_norm(features - features_hat, dim=1)


def l1_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the sum of |x - y| over all dimensions except the first, (N,)."""
    return (x - y).abs().flatten(1).sum(dim=1)


@dataclass(frozen=True)
class GeneratorLosses:
    """The terms of G's loss, unweighted scalars (Equation 4 of Skip-GANomaly and of GANomaly)."""

    adversarial: Tensor
    contextual: Tensor
    latent: Tensor

    def by_name(self, settings: LossSettings) -> dict[str, Tensor]:
        """Return the weighted sum and its terms, detached, by their names in the history."""
        total = (
            settings.lambda_adv * self.adversarial
            + settings.lambda_con * self.contextual
            + settings.lambda_lat * self.latent
        )
        return {
            "loss_g": total.detach(),
            "loss_adv": self.adversarial.detach(),
            "loss_con": self.contextual.detach(),
            "loss_lat": self.latent.detach(),
        }
