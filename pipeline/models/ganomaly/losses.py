"""The losses of GANomaly; equations are its paper's.

x and x_hat are (N, C, S, S) in [-1, 1]; z, z_hat, f(x) and f(x_hat) are (N, any length). As in
Skip-GANomaly here, the norm of pixels is a mean, since the sum would drown the other terms.
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
        """Equation 4; the paper's weights are 1, 50 and 1."""
        return (
            weights.lambda_adv * self.adversarial
            + weights.lambda_con * self.contextual
            + weights.lambda_lat * self.latent
        )


def feature_matching_loss(features: Tensor, features_hat: Tensor) -> Tensor:
    """Equation 1: mean Euclidean norm of f(x) - f(x_hat)."""
    return latent_distance(features, features_hat).mean()


def contextual_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """Equation 2: mean |x - x_hat|."""
    return residual(x, x_hat).mean()


def encoder_loss(z: Tensor, z_hat: Tensor) -> Tensor:
    """Equation 3: mean Euclidean norm of z - z_hat.

    Deviation from the authors' code, which takes means of squares here and in Equation 1.
    """
    return latent_distance(z, z_hat).mean()
