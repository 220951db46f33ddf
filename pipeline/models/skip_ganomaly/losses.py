"""The losses of Skip-GANomaly (section III-C).

x and x_hat are (N, C, S, S) in [-1, 1]; f(x) and f(x_hat) are (N, d); logits are (N,).
"""

from dataclasses import dataclass

from torch import Tensor

from pipeline.models.losses import latent_distance, residual
from pipeline.models.settings import LossSettings


@dataclass(frozen=True)
class GeneratorLosses:
    """The terms of Equation 4, each a scalar before its weight."""

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


def contextual_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """Equation 2: the mean residual of a batch."""
    return residual(x, x_hat).mean()


def latent_loss(features: Tensor, features_hat: Tensor) -> Tensor:
    """Equation 3: the mean latent distance of a batch."""
    return latent_distance(features, features_hat).mean()
