"""AnoGAN for training and scoring, with its anomaly score."""

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.models.interface import Method, Scorer
from pipeline.models.losses import l1_distance
from pipeline.models.methods.anogan.nets import build_networks
from pipeline.models.methods.anogan.search import search, start_code
from pipeline.models.methods.anogan.step import train_step
from pipeline.models.nets import Decoder
from pipeline.settings.model import ModelSettings


class AnoganScorer(Scorer):
    """Scorer with A = (1 - lambda) R + lambda D at the z that the search finds (Equation 6).

    lambda is 1 - `score_lambda`, 0.1 in AnoGAN's paper. The search minimises the same sum.
    """

    def __init__(self, networks: Mapping[str, nn.Module], settings: ModelSettings) -> None:
        super().__init__()
        self.generator = networks["generator"]
        self.discriminator = networks["discriminator"]
        for network in (self.generator, self.discriminator):
            network.requires_grad_(False)
        self.steps = settings.search_steps
        share = settings.score_lambda
        self.weights = {"residual": share, "discrimination": 1 - share}
        start = start_code(cast(Decoder, self.generator).latent_dim)
        self.register_buffer("start", start, persistent=False)

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return R (Equation 3) and D (Equation 5), both L1 norms, at the z found."""
        features = self.discriminator(x)[1]
        return self._compare(x, features, self._find(x, features))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return G(z) at the z found."""
        return self.generator(self._find(x, self.discriminator(x)[1]))

    def features(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        return self.discriminator(x)[1]

    def _find(self, x: Tensor, features: Tensor) -> Tensor:
        # The search needs gradients, also where the caller has switched them off.
        with torch.inference_mode(mode=False), torch.enable_grad():
            loss_of = partial(self._loss, x.clone(), features.clone())
            start = cast(Tensor, self.start).to(x.dtype)
            return search(loss_of, start.repeat(len(x), 1), self.steps)

    def _loss(self, x: Tensor, features: Tensor, z: Tensor) -> Tensor:
        return self.anomaly(self._compare(x, features, z))

    def _compare(self, x: Tensor, features: Tensor, z: Tensor) -> dict[str, Tensor]:
        x_hat = self.generator(z)
        return {
            "residual": l1_distance(x, x_hat),  # AnoGAN's Equation 3
            # Its Equation 5, the improved form that matches features.
            "discrimination": l1_distance(features, self.discriminator(x_hat)[1]),
        }


METHOD = Method(build_networks, train_step, AnoganScorer, lambdas={})
