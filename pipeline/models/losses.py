"""Losses and distances that the methods share; equations are those of Skip-GANomaly.

x and x_hat are (N, C, S, S) in [-1, 1]; f(x) and f(x_hat) are (N, d); logits are (N,).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.settings.model import LossSettings


def generator_adversarial_loss(fake_logits: Tensor) -> Tensor:
    """Equation 1, for G: mean of -log D(x_hat).

    Deviation: Equation 1 read literally has G minimise log(1 - D(x_hat)), which has hardly any
    gradient while D wins; the authors' code maximises log D(x_hat) instead, as is usual.
    """
    return binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Equation 1, for D, which maximises it: mean of -log D(x) - log(1 - D(x_hat)).

    Deviation from the authors' code, which adds the latent loss once more here: in the text the
    discriminator plays Equation 1 only.
    """
    real = binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake


def residual(x: Tensor, x_hat: Tensor) -> Tensor:
    """R of each patch, (N,): mean |x - x_hat| over its pixels (Equation 2).

    A mean, not the sum that the norm is: the sum would outweigh the other terms ten-thousandfold
    at lambda_con = 40, and the authors' code takes the mean.
    """
    return (x - x_hat).abs().mean(dim=(1, 2, 3))


def latent_distance(features: Tensor, features_hat: Tensor) -> Tensor:
    """L of each patch, (N,): Euclidean norm of f(x) - f(x_hat) (Equation 3).

    Deviation from the authors' code, which takes the mean of squares. Where both agree exactly
    the gradient is taken as 0.
    """
    return torch.linalg.vector_norm(features - features_hat, dim=1)


def l1_distance(x: Tensor, y: Tensor) -> Tensor:
    """Sum of |x - y| over all but the first dimension, (N,)."""
    return (x - y).abs().flatten(1).sum(dim=1)


def mean_square(x: Tensor, y: Tensor) -> Tensor:
    """Mean of (x - y)^2 over all but the first dimension, (N,)."""
    return (x - y).square().flatten(1).mean(dim=1)


@dataclass(frozen=True)
class GeneratorLosses:
    """The terms of G's loss, each a scalar before its weight: Equation 4 here and in GANomaly."""

    adversarial: Tensor
    contextual: Tensor
    latent: Tensor

    def total(self, weights: LossSettings) -> Tensor:
        """Equation 4."""
        return (
            weights.lambda_adv * self.adversarial
            + weights.lambda_con * self.contextual
            + weights.lambda_lat * self.latent
        )

    def by_name(self, weights: LossSettings) -> dict[str, Tensor]:
        """The sum and its terms, detached, by the names that a training's history has."""
        return {
            "loss_g": self.total(weights).detach(),
            "loss_adv": self.adversarial.detach(),
            "loss_con": self.contextual.detach(),
            "loss_lat": self.latent.detach(),
        }
