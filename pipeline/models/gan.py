"""Networks in training, with their optimisers, for the steps of all methods."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from pipeline.models.precision import matmul_precision
from pipeline.settings.model import ModelSettings, Precision


@dataclass
class Gan:
    """The networks by name, with an optimiser each."""

    networks: dict[str, nn.Module]
    optimisers: tuple[Adam, ...]
    precision: Precision

    @property
    def generator(self) -> nn.Module:
        """The network that generates patches, of every method with networks."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> nn.Module:
        """The network that tells generated from real patches, of every method with networks."""
        return self.networks["discriminator"]

    def autocast(self, x: Tensor) -> AbstractContextManager[Any]:
        """Compute forward passes on x's device in bfloat16 if `precision` is bfloat16."""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    @contextmanager
    def step(self) -> Iterator[None]:
        """Update every network by the gradients that the `with` block computes."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        with matmul_precision(self.precision):
            yield
        for optimiser in self.optimisers:
            optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of `networks` by name, and of `optimisers`, to resume training."""
        return {
            "networks": network_state(self.networks),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        for name, network in self.networks.items():
            unwrap(network).load_state_dict(state["networks"][name])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of every network."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate


def build_gan(networks: Mapping[str, nn.Module], settings: ModelSettings) -> Gan:
    """Give networks their optimisers (section IV-B of Skip-GANomaly)."""
    optimisers = tuple(_adam(network, settings) for network in networks.values())
    return Gan(dict(networks), optimisers, settings.precision)


def learning_rate_decay(epoch: int, epochs: int) -> float:
    """Return the factor of the learning rate in an epoch, 0 to `epochs` - 1: 1 or less, above 0.

    The "lambda decay" of section IV-B. The paper gives no shape, and the authors' code never runs
    its schedule. This is the usual shape: constant for half of the epochs, then linearly towards 0.
    """
    constant = epochs / 2
    return 1.0 if epoch < constant else (epochs - epoch) / (epochs - constant)


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
