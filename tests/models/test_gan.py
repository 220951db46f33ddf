import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from pipeline.models.gan import Gan, build_gan, learning_rate_decay, network_state
from tests.comparing import same
from tests.tiny import MODEL


def small_gan(seed: int = 0) -> Gan:
    torch.manual_seed(seed)
    return build_gan({"generator": nn.Linear(2, 3), "discriminator": nn.Linear(3, 1)}, MODEL)


def move(gan: Gan) -> None:
    with gan.step():
        x = torch.tensor([[0.5, -1.0], [2.0, 0.25]])
        gan.discriminator(gan.generator(x)).square().sum().backward()


def test_a_step_moves_every_network_as_adam_does_by_its_own_gradients_alone() -> None:
    gan = small_gan()
    plain = copy.deepcopy(gan.networks)
    optimisers = [
        torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.5, 0.999))
        for network in plain.values()
    ]
    for _ in range(3):
        move(gan)
        x = torch.tensor([[0.5, -1.0], [2.0, 0.25]])
        loss = plain["discriminator"](plain["generator"](x)).square().sum()
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
    for name, network in gan.networks.items():
        for weight, expected in zip(network.parameters(), plain[name].parameters(), strict=True):
            torch.testing.assert_close(weight, expected)
    assert all(optimiser.defaults["fused"] for optimiser in gan.optimisers)


def test_the_state_has_all_that_goes_on() -> None:
    gan, other = small_gan(), small_gan(seed=1)
    move(gan)
    other.load_state_dict(copy.deepcopy(gan.state_dict()))
    assert same(other.state_dict(), gan.state_dict())
    for each in (gan, other):
        move(each)
    assert same(other.state_dict(), gan.state_dict())
    assert gan.state_dict().keys() == {"networks", "optimisers"}


def test_the_state_of_fewer_networks_is_refused() -> None:
    gan = small_gan()
    state = gan.state_dict()
    with pytest.raises(ValueError, match="shorter"):
        gan.load_state_dict(state | {"optimisers": state["optimisers"][:1]})


@pytest.mark.parametrize(
    ("epochs", "factors"),
    [(1, [1]), (4, [1, 1, 1, 1 / 2]), (5, [1, 1, 1, 2 / 2.5, 1 / 2.5])],
)
def test_the_learning_rate_falls_in_the_second_half(epochs: int, factors: list[float]) -> None:
    found = [learning_rate_decay(epoch, epochs) for epoch in range(epochs)]
    assert found == pytest.approx(factors)


def test_a_step_moves_every_network_by_the_learning_rate_that_was_set() -> None:
    gan = small_gan()
    gan.set_learning_rate(0.25)
    before = [p.detach().clone() for net in gan.networks.values() for p in net.parameters()]
    move(gan)
    after = [p for net in gan.networks.values() for p in net.parameters()]
    for old, new in zip(before, after, strict=True):  # Adam's first step is the learning rate
        torch.testing.assert_close((new - old).abs(), torch.full_like(old, 0.25))


def test_the_state_of_a_network_has_no_wrapper_s_prefix() -> None:
    network = nn.Linear(2, 3)
    wrapped = nn.DataParallel(network)
    assert network_state({"generator": wrapped})["generator"].keys() == {"weight", "bias"}
    gan = build_gan({"generator": wrapped, "discriminator": network}, MODEL)
    gan.load_state_dict(small_state := copy.deepcopy(gan.state_dict()))
    assert same(gan.state_dict(), small_state)


def test_the_settings_decide_the_precision_and_adam() -> None:
    settings = replace(MODEL, precision="tf32", learning_rate=0.5, beta1=0.25, beta2=0.75)
    gan = build_gan({"generator": nn.Linear(2, 3)}, settings)
    assert gan.precision == "tf32"
    (optimiser,) = gan.optimisers
    assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (0.5, (0.25, 0.75))
