"""The scores of Skip-GANomaly that are not Equation 5's, which tests/test_scoring.py has."""

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor

from experiments.paper.reference_scoring import reference_terms
from pipeline.models.methods.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.neighbours import NeighbourDistance
from pipeline.models.nets import Discriminator
from pipeline.settings.model import LatentScore
from tests.models.plain import double_gan, some_batch
from tests.tiny import MODEL


def test_the_reference_takes_means_of_squares_of_both() -> None:
    networks, x = double_gan("skip_ganomaly").networks, some_batch(3)
    scorer = SkipGanomalyScorer(networks, MODEL).eval().double()
    x_hat = networks["generator"](x)
    f, f_hat = networks["discriminator"](x)[1], networks["discriminator"](x_hat)[1]
    found = reference_terms(scorer, x)
    assert found.keys() == {"residual", "latent"}
    for row in range(3):
        residual, latent = ((x - x_hat)[row] ** 2).mean(), ((f - f_hat)[row] ** 2).mean()
        assert found["residual"][row].item() == pytest.approx(residual.item(), rel=1e-9)
        assert found["latent"][row].item() == pytest.approx(latent.item(), rel=1e-9)


@pytest.mark.parametrize("latent_score", ["neighbours", "early_neighbours"])
def test_the_latent_term_may_be_the_distance_from_normals(latent_score: LatentScore) -> None:
    networks, x = double_gan("skip_ganomaly").networks, some_batch(8)
    settings = replace(MODEL, latent_score=latent_score, score_lambda=0.75)
    scorer = SkipGanomalyScorer(networks, settings).eval().double()
    discriminator = cast(Discriminator, networks["discriminator"])

    def compared(x: Tensor) -> Tensor:
        early = latent_score == "early_neighbours"
        return discriminator.early_features(x) if early else discriminator(x)[1]

    scorer.fit([x[:2], x[2:6]])
    distance = NeighbourDistance(compared(x[:6]))(compared(x[6:]))
    torch.testing.assert_close(scorer.terms(x[6:])["latent"], distance)
    residual = (x - scorer.reconstruct(x))[6:].abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(
        scorer.anomaly(scorer.terms(x[6:])), 0.75 * residual + 0.25 * distance
    )
