"""Networks in training, with their optimisers and schedules, for the steps of all methods."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from pipeline.models.precision import autocast, matmul_precision
from pipeline.settings.model import ModelSettings, Precision


@dataclass
class Gan:
    """The networks by name, with an optimiser and a learning-rate schedule each."""

    networks: dict[str, nn.Module]
    optimisers: tuple[Adam, ...]
    schedules: tuple[LambdaLR, ...]
    precision: Precision

    @property
    def generator(self) -> nn.Module:
        """The network that generates patches; every method has one."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> nn.Module:
        """The network that tells generated patches from real ones; every method has one."""
        return self.networks["discriminator"]

    def autocast(self, x: Tensor) -> AbstractContextManager[Any]:
        """Set the precision of the forward passes on x, inside a `step` block."""
        return autocast(x, self.precision)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Update every network by the gradients that the `with` block computes."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        with matmul_precision(self.precision):
            yield
        for optimiser in self.optimisers:
            optimiser.step()

    def state(self) -> dict[str, Any]:
        """Return everything that a later process needs to resume training."""
        return {
            "networks": network_state(self.networks),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state that `state` returned; the learning rate stays that of this object.

        A trial that takes over another's networks has a learning rate of its own (pbt).
        """
        for name, network in self.networks.items():
            unwrap(network).load_state_dict(state["networks"][name])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            own = schedule.base_lrs
            schedule.load_state_dict({**saved, "base_lrs": own})
            (factor,) = schedule.lr_lambdas
            for group, rate in zip(schedule.optimizer.param_groups, own, strict=True):
                group["initial_lr"] = rate
                group["lr"] = rate * factor(schedule.last_epoch)
            schedule._last_lr = [group["lr"] for group in schedule.optimizer.param_groups]


def build_gan(networks: Mapping[str, nn.Module], settings: ModelSettings, epochs: int) -> Gan:
    """Give networks their optimisers (section IV-B of Skip-GANomaly) and schedules."""
    optimisers = tuple(_adam(network, settings) for network in networks.values())
    schedules = tuple(_decay(optimiser, epochs) for optimiser in optimisers)
    return Gan(dict(networks), optimisers, schedules, settings.precision)


def network_state(networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Return the weights and buffers of networks, without a data-parallel wrapper's prefix."""
    return {name: unwrap(network).state_dict() for name, network in networks.items()}


def unwrap(module: nn.Module) -> nn.Module:
    """Return the network inside a data-parallel wrapper, or the module itself."""
    inner = getattr(module, "module", module)
    assert isinstance(inner, nn.Module)
    return inner


def _adam(network: nn.Module, settings: ModelSettings) -> Adam:
    betas = (settings.beta1, settings.beta2)
    return Adam(network.parameters(), lr=settings.learning_rate, betas=betas, fused=True)


def _decay(optimiser: Adam, epochs: int) -> LambdaLR:
    """Return the "lambda decay" of section IV-B.

    The paper gives no shape, and the authors' code never runs its schedule. This is the usual
    shape: constant for half of the epochs, then linearly towards 0.
    """
    constant = epochs / 2
    return LambdaLR(
        optimiser,
        lambda epoch: 1.0 if epoch < constant else (epochs - epoch) / (epochs - constant),
    )
