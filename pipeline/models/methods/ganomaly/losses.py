"""The losses of GANomaly; equation numbers are GANomaly's.

x and x_hat are (N, C, S, S) in [-1, 1]; z, z_hat, f(x) and f(x_hat) are (N, any length). The norm
of pixels is a mean, as for Skip-GANomaly here, since a sum would outweigh the other terms.
"""

from torch import Tensor

from pipeline.models.losses import latent_distance, residual


def feature_matching_loss(features: Tensor, features_hat: Tensor) -> Tensor:
    """Equation 1: mean Euclidean norm of f(x) - f(x_hat)."""
    return latent_distance(features, features_hat).mean()


def contextual_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """Equation 2: mean |x - x_hat|."""
    return residual(x, x_hat).mean()


def encoder_loss(z: Tensor, z_hat: Tensor) -> Tensor:
    """Equation 3: mean Euclidean norm of z - z_hat.

    Deviation: the authors' code takes means of squares here and in Equation 1.
    """
    return latent_distance(z, z_hat).mean()
