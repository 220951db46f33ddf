import numpy as np
import pytest
import torch

from experiments.paper.reference_scoring import mean_square
from pipeline.models.losses import (
    GeneratorLosses,
    discriminator_loss,
    generator_adversarial_loss,
    l1_distance,
    latent_distance,
    residual,
)
from tests.tiny import LOSSES

GENERATOR = np.random.default_rng(0)
X, X_HAT = GENERATOR.uniform(-1, 1, (2, 5, 3, 8, 8))
F, F_HAT = GENERATOR.normal(size=(2, 5, 7))
REAL, FAKE = GENERATOR.normal(size=(2, 5)) * 3


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))


def test_equation_1_for_g() -> None:
    expected = np.mean([-np.log(p) for p in sigmoid(FAKE)])
    assert generator_adversarial_loss(tensor(FAKE)).item() == pytest.approx(expected, abs=1e-12)


def test_equation_1_for_d() -> None:
    expected = -np.mean([np.log(p) for p in sigmoid(REAL)])
    expected -= np.mean([np.log(1 - p) for p in sigmoid(FAKE)])
    found = discriminator_loss(tensor(REAL), tensor(FAKE))
    assert found.item() == pytest.approx(expected, abs=1e-12)


def test_equation_2() -> None:
    each = [
        sum(abs(a - b) for a, b in zip(x.flat, y.flat, strict=True)) / x.size
        for x, y in zip(X, X_HAT, strict=True)
    ]
    np.testing.assert_allclose(residual(tensor(X), tensor(X_HAT)), each, atol=1e-12)


def test_equation_3() -> None:
    each = [
        sum((a - b) ** 2 for a, b in zip(f, g, strict=True)) ** 0.5
        for f, g in zip(F, F_HAT, strict=True)
    ]
    np.testing.assert_allclose(latent_distance(tensor(F), tensor(F_HAT)), each, atol=1e-12)


def test_equation_3_has_a_finite_gradient_where_both_agree() -> None:
    features = tensor(F).requires_grad_()
    latent_distance(features, tensor(F)).mean().backward()
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_equation_4() -> None:
    losses = GeneratorLosses(torch.tensor(2.0), torch.tensor(3.0), torch.tensor(5.0))
    assert losses.by_name(LOSSES)["loss_g"].item() == 1 * 2 + 40 * 3 + 1 * 5


@pytest.mark.parametrize(("first", "second"), [(X, X_HAT), (F, F_HAT)])
def test_distances_are_over_all_that_a_patch_has(first: np.ndarray, second: np.ndarray) -> None:
    pairs = [list(zip(a.flat, b.flat, strict=True)) for a, b in zip(first, second, strict=True)]
    sums = [sum(abs(a - b) for a, b in row) for row in pairs]
    means = [sum((a - b) ** 2 for a, b in row) / len(row) for row in pairs]
    found = l1_distance(tensor(first), tensor(second)), mean_square(tensor(first), tensor(second))
    np.testing.assert_allclose(found, [sums, means], rtol=1e-12)
