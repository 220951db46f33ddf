import copy
from typing import cast

import pytest
import torch

from experiments.paper.reference_scoring import reference_terms
from pipeline.models.methods.ganomaly.method import GanomalyScorer
from pipeline.models.methods.ganomaly.nets import Generator
from pipeline.models.methods.ganomaly.step import train_step
from pipeline.models.nets import Discriminator
from pipeline.settings.model import LossSettings
from tests.models.plain import (
    SHAPE,
    assert_moved_by,
    double_gan,
    gradients,
    plain_convolutions,
    some_batch,
    taken_for_fake,
    taken_for_real,
)
from tests.tiny import MODEL

WEIGHTS = LossSettings(1, 50, 1, SHAPE.latent_dim)  # the paper's


def norms(difference: torch.Tensor) -> torch.Tensor:
    return torch.stack([row.square().sum().sqrt() for row in difference])


def test_the_step_is_that_of_the_textbook() -> None:
    gan, x = double_gan("ganomaly"), some_batch()
    g, d = cast(Generator, copy.deepcopy(gan.generator)), copy.deepcopy(gan.discriminator)
    losses = train_step(gan, x, WEIGHTS)
    with plain_convolutions():
        z = g.encoder(x)
        x_hat = g.decoder(z)
        z_hat = g.second_encoder(x_hat)
        adversarial = norms(d(x)[1].detach() - d(x_hat)[1]).mean()
        contextual, latent = (x - x_hat).abs().mean(), norms(z - z_hat).mean()
        loss_g = adversarial + 50 * contextual + latent
        loss_d = taken_for_real(d(x)[0]) + taken_for_fake(d(x_hat.detach())[0])
        assert_moved_by(gan, [*gradients(loss_g, g), *gradients(loss_d, d)])
    expected = {
        "loss_g": loss_g,
        "loss_adv": adversarial,
        "loss_con": contextual,
        "loss_lat": latent,
        "loss_d": loss_d,
    }
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-10
    )


def test_f_is_what_the_last_convolution_of_d_sees() -> None:
    d, x = cast(Discriminator, double_gan("ganomaly").discriminator.eval()), some_batch()
    seen = []
    d.features[-2].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    features = d(x)[1]
    assert features.shape == (8, 16 * 2 * SHAPE.ndf)
    assert torch.equal(features, seen[0].flatten(1))


def test_the_score_is_the_l1_norm_in_the_latent_space() -> None:
    networks, x = double_gan("ganomaly").networks, some_batch()
    scorer = GanomalyScorer(networks, MODEL).eval().double()
    generator = networks["generator"]
    with torch.no_grad():
        for row, score in enumerate(scorer.anomaly(scorer.terms(x))):
            x_hat, z, z_hat = generator(x[row : row + 1])
            expected = sum(abs(a - b) for a, b in zip(z[0], z_hat[0], strict=True))
            assert score.item() == pytest.approx(float(expected), rel=1e-9)
            reference = {
                name: term[row].item() for name, term in reference_terms(scorer, x).items()
            }
            assert reference == pytest.approx(
                {
                    "residual": ((x[row] - x_hat) ** 2).mean().item(),
                    "latent": ((z - z_hat) ** 2).mean().item(),
                },
                rel=1e-9,
            )
            residual = scorer.terms(x)["residual"][row].item()
            assert residual == pytest.approx((x[row] - x_hat[0]).abs().mean().item(), rel=1e-9)


def test_reconstructions_are_g_s_and_features_those_of_its_first_encoder() -> None:
    networks, x = double_gan("ganomaly").networks, some_batch(2)
    scorer, generator = (
        GanomalyScorer(networks, MODEL).eval(),
        cast(Generator, networks["generator"]),
    )
    z = generator.encoder(x)
    assert torch.equal(scorer.features(x), z)
    assert torch.equal(scorer.reconstruct(x), generator.decoder(z))
