"""The interface of methods to training and scoring; a method is found by its name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.models.gan import Gan
from pipeline.models.nets import NetShape
from pipeline.settings.model import LAMBDAS, LossSettings, ModelSettings

# Training normals that a scorer compares with: more gain little, and make the model file larger.
MAX_REFERENCE_NORMALS = 4096


class Scorer(nn.Module, ABC):
    """Scores patches x, (N, C, S, S) in [-1, 1], by trained networks or by fitted features.

    Attributes:
        weights: the weight of each term in the anomaly score, by the term's name.
        normals: features of training normals, (M, d), if a term compares a patch with them.
        head: weights and, last, the bias of a score that labelled windows taught,
            (d + 1,) float64.
    """

    weights: Mapping[str, float]
    normals: Tensor | None = None
    head: Tensor | None = None

    @abstractmethod
    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return the terms of the anomaly score, (N,) each, in the order of `weights`."""

    def reconstruct(self, x: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return x_hat, of the shape and range of x; None of a method that reconstructs nothing."""
        return None

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Return a feature vector of each patch, (N, any length)."""

    def explain(self, x: Tensor) -> list[str]:
        """Name the most suspicious thing in each patch; "" by a method that names none."""
        return [""] * len(x)

    def fit(self, normals: Iterable[Tensor]) -> None:
        """Store the features of training normals, batches of x, as the reference set.

        A method whose terms do not compare with training normals does nothing.
        """

    def set_reference(self, normals: Tensor) -> None:
        """Store the features of training normals, (M, d), as the reference set."""
        self.normals = normals

    def fit_head(self, labelled: Iterable[Tensor], abnormal: NDArray[np.bool_]) -> None:
        """Learn the score from batches of labelled windows x, after `fit`.

        A method without the option `head` does nothing.

        Args:
            labelled: the windows of labelled bags, N in all.
            abnormal: (N,) True where a window has a threat.
        """

    def anomaly(self, terms: Mapping[str, Any]) -> Any:
        """Return A, (N,): the weighted sum of the terms (Equation 5), of tensors or of arrays."""
        return sum(weight * terms[name] for name, weight in self.weights.items())


@dataclass(frozen=True)
class Method:
    """A method: the parts of it that training and scoring use.

    Attributes:
        build_networks: returns networks by name, with `generator` and `discriminator` among them;
            their weights are drawn from a seed alone. A method without networks returns {}, and
            its step does nothing (`pipeline.settings.methods.WITHOUT_NETWORKS`).
        train_step: updates the networks once on a batch (N, C, S, S) in [-1, 1]; returns the
            losses by name, with `loss_g` and `loss_d` among them.
        scorer: returns a `Scorer` of networks that are in evaluation mode.
        lambdas: the method's loss weights by name, with its paper's values.
    """

    build_networks: Callable[[NetShape, int], dict[str, nn.Module]]
    train_step: Callable[[Gan, Tensor, LossSettings], dict[str, Tensor]]
    scorer: Callable[[Mapping[str, nn.Module], ModelSettings], Scorer]
    lambdas: Mapping[str, float]

    def unused_lambdas(self) -> set[str]:
        """Return the names of the loss weights that the method does not have."""
        return set(LAMBDAS) - set(self.lambdas)

    def effective(self, losses: LossSettings) -> LossSettings:
        """Return the settings with 0 for each loss weight that the method does not have."""
        unused: dict[str, Any] = dict.fromkeys(self.unused_lambdas(), 0.0)
        return replace(losses, **unused)


def method_of(settings: ModelSettings) -> Method:
    """Return the method that the settings name."""
    return import_module(f"pipeline.models.methods.{settings.method}.method").METHOD
