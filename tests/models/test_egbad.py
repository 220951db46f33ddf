import copy

import pytest
import torch
from torch import nn

from pipeline.models.methods.egbad.method import EgbadScorer
from pipeline.models.methods.egbad.nets import PairDiscriminator
from pipeline.models.methods.egbad.step import train_step
from pipeline.models.nets import NetShape
from pipeline.settings.model import LossSettings
from tests.models.plain import (
    SHAPE,
    assert_moved_by,
    assert_same_network,
    double_gan,
    gradients,
    halving,
    plain_convolutions,
    some_batch,
    taken_for_fake,
    taken_for_real,
)
from tests.tiny import MODEL

WEIGHTS = LossSettings(0, 0, 0, SHAPE.latent_dim)


def test_the_step_is_that_of_the_textbook() -> None:
    gan, x = double_gan("egbad"), some_batch()
    g, e, d = (copy.deepcopy(gan.networks[n]) for n in ("generator", "encoder", "discriminator"))
    torch.manual_seed(7)
    with torch.device("meta"):  # not where x is: what is drawn has to be
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
        for row, score in enumerate(scorer.anomaly(scorer.terms(x))):
            patch = x[row : row + 1]
            z = e(patch)
            residual = sum(abs(a - b) for a, b in zip(patch.ravel(), g(z).ravel(), strict=True))
            pairs = zip(d(patch, z)[1].ravel(), d(g(z), z)[1].ravel(), strict=True)
            matching = sum(abs(a - b) for a, b in pairs)
            assert score.item() == pytest.approx(float(0.9 * residual + 0.1 * matching), rel=1e-9)


def test_features_are_codes_and_reconstructions_what_g_makes_of_them() -> None:
    networks, x = double_gan("egbad").networks, some_batch(2)
    scorer = EgbadScorer(networks, MODEL).eval()
    z = networks["encoder"](x)
    assert torch.equal(scorer.features(x), z)
    assert torch.equal(scorer.reconstruct(x), networks["generator"](z))


class PlainPairs(nn.Module):
    """D of torch's own layers, at a side of 16, ndf = 4 and d = 6."""

    def __init__(self) -> None:
        super().__init__()
        leaky = nn.LeakyReLU(0.2)
        whole = nn.Conv2d(8, 64, 4, bias=False)
        self.patches = nn.Sequential(
            halving(3, 4), leaky, halving(4, 8), nn.BatchNorm2d(8), leaky, whole, leaky
        )
        self.codes = nn.Sequential(nn.Linear(6, 32), leaky)
        self.both = nn.Sequential(nn.Linear(96, 64), leaky)
        self.classifier = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        features = self.both(torch.cat([self.patches(x)[:, :, 0, 0], self.codes(z)], dim=1))
        return torch.cat([self.classifier(features), features], dim=1)


def test_d_has_the_paper_s_layers_and_sees_both_of_a_pair() -> None:
    d, x = double_gan("egbad").discriminator, some_batch(3)
    z = torch.linspace(-1, 1, 18, dtype=torch.float64).view(3, 6)
    assert_same_network(
        d, PlainPairs(), x, z, of=lambda both: torch.cat([both[0][:, None], both[1]], 1)
    )


def test_d_s_widths_double_from_level_to_level() -> None:
    patches = PairDiscriminator(NetShape(side=64, channels=1, ngf=1, ndf=2, latent_dim=5)).patches
    widths = [layer.out_channels for layer in patches.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [2, 4, 8, 16, 32]
