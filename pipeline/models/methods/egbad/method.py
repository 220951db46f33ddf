"""EGBAD for training and scoring, with its anomaly score."""

from collections.abc import Mapping

from torch import Tensor, nn

from pipeline.models.interface import Method, Scorer
from pipeline.models.losses import l1_distance
from pipeline.models.methods.egbad.nets import build_networks
from pipeline.models.methods.egbad.step import train_step
from pipeline.settings.model import ModelSettings


class EgbadScorer(Scorer):
    """Scorer with A = alpha L_G + (1 - alpha) L_D; alpha is `score_lambda` (authors' code: 0.9)."""

    def __init__(self, networks: Mapping[str, nn.Module], settings: ModelSettings) -> None:
        super().__init__()
        self.generator = networks["generator"]
        self.encoder = networks["encoder"]
        self.discriminator = networks["discriminator"]
        alpha = settings.score_lambda
        self.weights = {"residual": alpha, "feature_matching": 1 - alpha}

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return the L1 norms of x - G(E(x)), and of f(x, E(x)) - f(G(E(x)), E(x))."""
        z = self.encoder(x)
        x_hat = self.generator(z)
        features, features_hat = self.discriminator(x, z)[1], self.discriminator(x_hat, z)[1]
        distance = l1_distance(features, features_hat)
        return {"residual": l1_distance(x, x_hat), "feature_matching": distance}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return G(E(x))."""
        return self.generator(self.encoder(x))

    def features(self, x: Tensor) -> Tensor:
        """Return E(x)."""
        return self.encoder(x)


METHOD = Method(build_networks, train_step, EgbadScorer, lambdas={})
