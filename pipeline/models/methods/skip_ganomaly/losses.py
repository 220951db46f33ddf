"""The losses of Skip-GANomaly (section III-C).

x and x_hat are (N, C, S, S) in [-1, 1]; f(x) and f(x_hat) are (N, d); logits are (N,).
"""

from torch import Tensor

from pipeline.models.losses import latent_distance, residual


def contextual_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """Equation 2: the mean residual of a batch."""
    return residual(x, x_hat).mean()


def latent_loss(features: Tensor, features_hat: Tensor) -> Tensor:
    """Equation 3: the mean latent distance of a batch."""
    return latent_distance(features, features_hat).mean()
