"""What training and scoring need of a method, and how one is found by its name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline.common.errors import require
from pipeline.models.gan import Gan
from pipeline.models.neighbours import NormalFeatures
from pipeline.models.nets import NetShape
from pipeline.settings.model import LAMBDAS, METHOD_OPTIONS, LossSettings, ModelSettings


class Scorer(nn.Module, ABC):
    """Trained networks that score patches x, (N, C, S, S) in [-1, 1].

    Attributes:
        weights: of each term in the anomaly score, by the term's name.
        exportable: whether the networks' forward passes alone give the scores.
        normals: features of training normals, where a term is the distance from them.
    """

    exportable: ClassVar[bool] = True
    weights: Mapping[str, float]
    normals: NormalFeatures | None

    def __init__(self) -> None:
        super().__init__()
        self.normals = None

    @abstractmethod
    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """What the anomaly score is made of, (N,) each, in the order of `weights`."""

    @abstractmethod
    def reconstruct(self, x: Tensor) -> Tensor:
        """x_hat, of the shape and range of x."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """A description of each patch, (N, any length)."""

    def fit(self, normals: Iterable[Tensor]) -> None:
        """Learn from batches of training normals x; a method whose terms need nothing of it stays.

        What is learnt is `normals`.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Anomaly scores, (N,)."""
        terms = self.terms(x)
        weighted = [terms[name] * weight for name, weight in self.weights.items()]
        return torch.stack(weighted).sum(dim=0)


@dataclass(frozen=True)
class Method:
    """A method, by what training and scoring need of it.

    Attributes:
        build_networks: networks by name, `generator` and `discriminator` among them, with
            weights drawn from a seed alone.
        train_step: moves the networks once on a batch (N, C, S, S) in [-1, 1]; returns its losses
            by name, `loss_g` and `loss_d` among them.
        scorer: what scores patches by those networks, which are in evaluation mode.
        lambdas: the loss weights that it has, by name, as its paper sets them.
        options: which of `METHOD_OPTIONS` it has.
    """

    build_networks: Callable[[NetShape, int], dict[str, nn.Module]]
    train_step: Callable[[Gan, Tensor, LossSettings], dict[str, Tensor]]
    scorer: Callable[[Mapping[str, nn.Module], ModelSettings], Scorer]
    lambdas: Mapping[str, float]
    options: frozenset[str] = frozenset()

    def unused_lambdas(self) -> set[str]:
        """The loss weights that it does not have."""
        return set(LAMBDAS) - set(self.lambdas)

    def effective(self, losses: LossSettings) -> LossSettings:
        """The settings with 0 for each weight that it does not have."""
        unused: dict[str, Any] = dict.fromkeys(self.unused_lambdas(), 0.0)
        return replace(losses, **unused)


def method_of(settings: ModelSettings) -> Method:
    """The method that the settings name.

    Raises:
        InputError: it has no use for an option that is not at its default.
    """
    method: Method = import_module(f"pipeline.models.methods.{settings.method}.method").METHOD
    defaults = {field.name: field.default for field in fields(settings)}
    for name in METHOD_OPTIONS:
        value, default = getattr(settings, name), defaults[name]
        fits = name in method.options or value == default
        require(fits, f"model.{name}", value, f"{default}: {settings.method} has no such option")
    return method
