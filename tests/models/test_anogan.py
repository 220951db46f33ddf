import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipeline.models.methods.anogan.method import AnoganScorer
from pipeline.models.methods.anogan.search import (
    LEARNING_RATE,
    MIN_IMPROVEMENT,
    PATIENCE,
    search,
    start_code,
)
from pipeline.models.methods.anogan.step import train_step
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

WEIGHTS = LossSettings(0, 0, 0, SHAPE.latent_dim)


def test_the_step_is_that_of_the_textbook() -> None:
    gan, x = double_gan("anogan"), some_batch()
    g, d = copy.deepcopy(gan.generator), copy.deepcopy(gan.discriminator)
    torch.manual_seed(7)
    with torch.device("meta"):  # not where x is: what is drawn has to be
        losses = train_step(gan, x, WEIGHTS)
    torch.manual_seed(7)
    z = 2 * torch.rand(8, SHAPE.latent_dim, dtype=torch.float64) - 1
    with plain_convolutions():
        loss_g = taken_for_real(d(g(z))[0])
        loss_d = taken_for_real(d(x)[0]) + taken_for_fake(d(g(z).detach())[0])
        assert_moved_by(gan, [*gradients(loss_g, g), *gradients(loss_d, d)])
    assert losses["loss_g"].item() == pytest.approx(loss_g.item(), rel=1e-10)
    assert losses["loss_d"].item() == pytest.approx(loss_d.item(), rel=1e-10)


def adam_by_hand(target: list[float], start: list[float], steps: int) -> list[float]:
    """Codes after `steps` of Adam on the square distance to `target`, each for itself."""
    found = []
    for goal, begin in zip(target, start, strict=True):
        z, first, second = begin, 0.0, 0.0
        for step in range(1, steps + 1):
            gradient = 2 * (z - goal)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
            z -= LEARNING_RATE * mean / (square**0.5 + 1e-8)
        found.append(z)
    return found


def test_the_search_is_adam_for_each_code_by_itself() -> None:
    target, start = [0.3, -0.5, 0.9], [0.0, 0.2, -0.1]
    goal = torch.tensor(target, dtype=torch.float64)[:, None]
    z = torch.tensor(start, dtype=torch.float64)[:, None]
    found = search(lambda z: (z - goal).square().sum(dim=1), z, steps=20)
    assert found[:, 0].tolist() == pytest.approx(adam_by_hand(target, start, 20), rel=1e-9)


def test_a_search_that_gains_nothing_ends_and_the_others_go_on() -> None:
    calls = 0

    def loss_of(z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        flat = 1 + 0 * z[:1].sum(dim=1)  # of the first code: never any gain
        return torch.cat([flat, (z[1:] - 5).square().sum(dim=1)])

    start = torch.zeros(2, 1, dtype=torch.float64)
    found = search(loss_of, start, steps=100)
    assert calls == 100
    assert found[1].item() == pytest.approx(adam_by_hand([5.0], [0.0], 100)[0], rel=1e-9)
    calls = 0
    search(lambda z: loss_of(z)[:1], start, steps=1000)
    assert calls == 1 + PATIENCE
    assert 0 < MIN_IMPROVEMENT < 1


def steps_of(*losses: float) -> tuple[int, float]:
    """How many steps a search takes that meets these losses, then the last, and its code.

    The gradient is 1 all the time, so that each step moves the code from 0 down by the rate.
    """
    calls = 0

    def loss_of(z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return losses[min(calls, len(losses)) - 1] + (z - z.detach()).sum(dim=1)

    found = search(loss_of, torch.zeros(1, 1, dtype=torch.float64), steps=1000)
    return calls, found.item()


@pytest.mark.parametrize(
    ("losses", "last"),
    [
        ([0.0], 1),
        ([1.0] * 7 + [0.9985], 8),  # a gain of more than a thousandth
        ([1.0] * 7 + [0.9995], 1),  # of less
        ([1.0] * 7 + [0.9985] * 30 + [0.998], 8),  # of less than the best so far
        ([1.0, 0.5, 0.7, 0.6], 2),
        ([0.9999**step for step in range(26)], 23),  # little by little, of what was gained last
    ],
)
def test_a_search_ends_so_many_steps_after_its_last_gain(losses: list[float], last: int) -> None:
    calls, z = steps_of(*losses)
    assert calls == last + PATIENCE
    assert z == pytest.approx(-LEARNING_RATE * (calls - 1), rel=1e-6)


def test_a_code_stays_where_it_gained_no_more_while_others_go_on() -> None:
    def loss_of(z: Tensor) -> Tensor:
        flat = 1 + (z[:1] - z[:1].detach()).sum(dim=1)
        return torch.cat([flat, (z[1:] - 5).square().sum(dim=1)])

    found = search(loss_of, torch.zeros(2, 1, dtype=torch.float64), steps=100)
    assert found[0].item() == pytest.approx(-LEARNING_RATE * PATIENCE, rel=1e-6)


def test_every_search_starts_from_one_draw_of_the_uniform_prior() -> None:
    start = start_code(10_000)
    assert start.shape == (10_000,)
    assert torch.equal(start, start_code(10_000))
    assert (start.min().item(), start.max().item()) == pytest.approx((-1, 1), abs=1e-3)
    assert start.mean().item() == pytest.approx(0, abs=0.02)


def test_f_is_what_the_last_convolution_of_d_sees() -> None:
    assert double_gan("anogan").discriminator(some_batch())[1].shape == (8, 16 * 2 * SHAPE.ndf)


def test_scoring_leaves_the_networks_alone_and_no_start_in_the_weights() -> None:
    settings = replace(MODEL, method="anogan", search_steps=2)
    scorer = AnoganScorer(double_gan("anogan").networks, settings).eval().double()
    assert not scorer.anomaly(scorer.terms(some_batch(2))).requires_grad
    assert {name.partition(".")[0] for name in scorer.state_dict()} == {
        "generator",
        "discriminator",
    }


def test_the_score_weighs_both_norms_at_the_code_found() -> None:
    settings = replace(MODEL, method="anogan", search_steps=30)
    networks, x = double_gan("anogan").networks, some_batch(2)
    scorer = AnoganScorer(networks, settings).eval().double()
    g, d = networks["generator"], networks["discriminator"]

    def parts(patch: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return (patch - g(z)).abs().sum(), (d(patch)[1] - d(g(z))[1]).abs().sum()

    for row, score in enumerate(scorer.anomaly(scorer.terms(x))):
        patch = x[row : row + 1]
        z = start_code(SHAPE.latent_dim).double()[None].requires_grad_()
        optimiser = torch.optim.Adam([z], lr=LEARNING_RATE)
        first = sum(parts(patch, z)).item()  # type: ignore[union-attr]
        for _ in range(30):
            residual, discrimination = parts(patch, z)
            (z.grad,) = torch.autograd.grad(0.9 * residual + 0.1 * discrimination, z)
            optimiser.step()
        residual, discrimination = parts(patch, z)
        expected = 0.9 * residual + 0.1 * discrimination
        assert score.item() == pytest.approx(expected.item(), rel=1e-9)
        assert expected.item() < first


def test_features_are_those_of_d_and_the_reconstruction_is_the_patch_found() -> None:
    settings = replace(MODEL, method="anogan", search_steps=3)
    networks, x = double_gan("anogan").networks, some_batch(3)
    scorer = AnoganScorer(networks, settings).eval().double()
    assert torch.equal(scorer.features(x), networks["discriminator"](x)[1])
    x_hat, terms = scorer.reconstruct(x), scorer.terms(x)
    torch.testing.assert_close((x - x_hat).abs().sum(dim=(1, 2, 3)), terms["residual"])
    features_hat = networks["discriminator"](x_hat)[1]
    distance = (scorer.features(x) - features_hat).abs().sum(dim=1)
    torch.testing.assert_close(distance, terms["discrimination"])


def test_gradients_that_are_switched_off_do_not_stop_the_search() -> None:
    settings = replace(MODEL, method="anogan", search_steps=3)
    scorer = AnoganScorer(double_gan("anogan").networks, settings).eval().double()
    with torch.inference_mode():
        found = scorer.anomaly(scorer.terms(some_batch(2)))
    assert torch.equal(found, scorer.anomaly(scorer.terms(some_batch(2))).detach())
