"""GANomaly for training and scoring, with its anomaly score."""

from collections.abc import Mapping

from torch import Tensor, nn

from pipeline.models.interface import Method, Scorer
from pipeline.models.losses import l1_distance, residual
from pipeline.models.methods.ganomaly.nets import build_networks
from pipeline.models.methods.ganomaly.step import train_step
from pipeline.settings.model import ModelSettings


class GanomalyScorer(Scorer):
    """Scorer with A = |G_E(x) - E(G(x))|, in the latent space alone (GANomaly's Equation 5).

    The residual is reported too, with weight 0 in A.
    """

    def __init__(self, networks: Mapping[str, nn.Module], _settings: ModelSettings) -> None:
        super().__init__()
        self.generator = networks["generator"]
        self.weights = {"residual": 0.0, "latent": 1.0}

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return the mean of |x - x_hat|, and the L1 norm of z - z_hat."""
        x_hat, z, z_hat = self.generator(x)
        return {"residual": residual(x, x_hat), "latent": l1_distance(z, z_hat)}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return x_hat = G_D(G_E(x))."""
        return self.generator(x)[0]

    def features(self, x: Tensor) -> Tensor:
        """Return z = G_E(x)."""
        return self.generator(x)[1]


METHOD = Method(
    build_networks,
    train_step,
    GanomalyScorer,
    lambdas={"lambda_adv": 1, "lambda_con": 50, "lambda_lat": 1},
)
