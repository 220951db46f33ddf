"""The losses of AnoGAN's latent search; equation numbers are AnoGAN's.

x and G(z) are (N, C, S, S) in [-1, 1]; f(x) and f(G(z)) are (N, any length).
"""

from torch import Tensor

from pipeline.models.losses import l1_distance


def residual_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """Equation 3: sum of |x - G(z)|, (N,)."""
    return l1_distance(x, x_hat)


def discrimination_loss(features: Tensor, features_hat: Tensor) -> Tensor:
    """Equation 5, the improved form that matches features: sum of |f(x) - f(G(z))|, (N,)."""
    return l1_distance(features, features_hat)
