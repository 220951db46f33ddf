"""Skip-GANomaly for training and scoring, with its anomaly score (section III-D)."""

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.models.interface import Method, Scorer
from pipeline.models.losses import latent_distance, residual
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.methods.skip_ganomaly.step import train_step
from pipeline.models.neighbours import NeighbourDistance
from pipeline.models.nets import Discriminator, features_of_both
from pipeline.settings.model import ModelSettings


class SkipGanomalyScorer(Scorer):
    """Scorer with A = lambda R + (1 - lambda) L (Equation 5).

    L is the distance from f(x) to f(x_hat) (Equation 3). Two values of `latent_score` are not the
    paper's: with "neighbours", L is the distance from f(x) to f(.) of training normals;
    "early_neighbours" compares early features of D instead (experiments/detection/README.md).
    """

    def __init__(self, networks: Mapping[str, nn.Module], settings: ModelSettings) -> None:
        super().__init__()
        self.generator = networks["generator"]
        self.discriminator = networks["discriminator"]
        self.weights = {"residual": settings.score_lambda, "latent": 1 - settings.score_lambda}
        self.latent_score = settings.latent_score

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return R (Equation 2) and L (by `latent_score`) of each patch."""
        x_hat = self.generator(x)
        if self.latent_score == "distance":
            distance = latent_distance(*features_of_both(self.discriminator, x, x_hat))
        else:
            distance = self.neighbour_distance(self.neighbour_features(x))
        return {"residual": residual(x, x_hat), "latent": distance}

    def fit(self, normals: Iterable[Tensor]) -> None:
        """Keep the features of training normals, if L is the distance from them."""
        if self.latent_score != "distance":
            self.set_reference(torch.cat([self.neighbour_features(x) for x in normals]))

    def set_reference(self, normals: Tensor) -> None:
        """Store the features of training normals, (M, d): L is the distance to their nearest."""
        super().set_reference(normals)
        self.neighbour_distance = NeighbourDistance(normals)

    def neighbour_features(self, x: Tensor) -> Tensor:
        """Return the features to find neighbours by: f(x), or those of D's first convolution."""
        if self.latent_score == "early_neighbours":
            return cast(Discriminator, self.discriminator).early_features(x)
        return self.features(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return G(x)."""
        return self.generator(x)

    def features(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        return self.discriminator(x)[1]


METHOD = Method(
    build_networks,
    train_step,
    SkipGanomalyScorer,
    lambdas={"lambda_adv": 1, "lambda_con": 40, "lambda_lat": 1},
)
