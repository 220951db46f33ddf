import copy

import pytest
import torch

from pipeline.models.methods.egbad.method import EgbadScorer
from pipeline.models.methods.egbad.step import train_step
from pipeline.settings.model import LossSettings
from tests.conftest import MODEL
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

WEIGHTS = LossSettings(0, 0, 0, SHAPE.latent_dim)


def test_the_step_is_that_of_the_textbook() -> None:
    gan, x = double_gan("egbad"), some_batch()
    g, e, d = (copy.deepcopy(gan.networks[n]) for n in ("generator", "encoder", "discriminator"))
    torch.manual_seed(7)
    losses = train_step(gan, x, WEIGHTS)
    torch.manual_seed(7)
    z = torch.randn(8, SHAPE.latent_dim, dtype=torch.float64)
    with plain_convolutions():
        loss_g = taken_for_real(d(g(z), z)[0]) + taken_for_fake(d(x, e(x))[0])
        found_x, found_z = g(z).detach(), e(x).detach()
        loss_d = taken_for_real(d(x, found_z)[0]) + taken_for_fake(d(found_x, z)[0])
        assert_moved_by(gan, [*gradients(loss_g, g, e), *gradients(loss_d, d)])
    assert losses["loss_g"].item() == pytest.approx(loss_g.item(), rel=1e-10)
    assert losses["loss_d"].item() == pytest.approx(loss_d.item(), rel=1e-10)


def test_the_score_weighs_both_l1_norms() -> None:
    networks, x = double_gan("egbad").networks, some_batch(3)
    scorer = EgbadScorer(networks, MODEL).eval()
    g, e, d = (networks[name] for name in ("generator", "encoder", "discriminator"))
    with torch.no_grad():
        for row, score in enumerate(scorer(x)):
            patch = x[row : row + 1]
            z = e(patch)
            residual = sum(abs(a - b) for a, b in zip(patch.ravel(), g(z).ravel(), strict=True))
            pairs = zip(d(patch, z)[1].ravel(), d(g(z), z)[1].ravel(), strict=True)
            matching = sum(abs(a - b) for a, b in pairs)
            assert score.item() == pytest.approx(float(0.9 * residual + 0.1 * matching), rel=1e-9)


def test_d_has_the_paper_s_widths_and_sees_both_of_a_pair() -> None:
    d, x = double_gan("egbad").discriminator.eval(), some_batch(2)
    z = torch.zeros(2, SHAPE.latent_dim, dtype=torch.float64)
    logits, features = d(x, z)
    assert (logits.shape, features.shape) == ((2,), (2, 16 * SHAPE.ndf))
    assert not torch.equal(d(-x, z)[0], logits)
    assert not torch.equal(d(x, z + 1)[0], logits)
