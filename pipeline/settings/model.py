"""Settings of a model and of its training step, for every method.

A method without one of `methods.OPTIONS` accepts only the option's default. Loss weights that a
method does not use count as 0 (`pipeline.models.interface`).
"""

from dataclasses import dataclass, fields
from typing import Literal

from pipeline.common.errors import require
from pipeline.settings.checks import StrictBlock
from pipeline.settings.methods import DEFAULT_METHOD, OPTIONS, MethodName

Precision = Literal["float32", "tf32", "bfloat16"]
LatentScore = Literal["distance", "neighbours", "early_neighbours"]
Head = Literal["none", "labelled"]

LAMBDAS = ("lambda_adv", "lambda_con", "lambda_lat")  # of `LossSettings`


@dataclass(frozen=True)
class ModelSettings(StrictBlock):
    """The `model` block: settings that all trials of a sweep and the final training share.

    Attributes:
        ngf: width of the generator's first layer.
        ndf: width of the discriminator's first layer.
        batch_size: patches in a step, over all workers.
        learning_rate: Adam's learning rate, before its decay.
        beta1: Adam's beta1.
        beta2: Adam's beta2.
        score_lambda: lambda of Equation 5, the weight of the residual in the anomaly score; methods
            without Equation 5 (docs/method.md) ignore it.
        precision: of matrix products and convolutions in training; weights, losses and scores
            are always float32. tf32 exists only on CUDA; elsewhere it means float32.
        method: name of the method.
        latent_score: the latent term of the anomaly score: the distance of f(x) from f(x_hat)
            (Equation 3), or from its nearest neighbours among normal training patches, or the
            latter distance for the output of the discriminator's first convolution.
        search_steps: most steps of the latent search for one patch.
        head: whether labelled bags (`scans.labelled_training`) teach the anomaly score.
    """

    ngf: int
    ndf: int
    learning_rate: float
    score_lambda: float
    batch_size: int = 64
    beta1: float = 0.5
    beta2: float = 0.999
    precision: Precision = "float32"
    method: MethodName = DEFAULT_METHOD
    latent_score: LatentScore = "distance"
    search_steps: int = 500
    head: Head = "none"

    def __post_init__(self) -> None:
        for name in ("ngf", "ndf"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        # Batch-norm has no variance to normalise by in a batch of one.
        require(self.batch_size >= 2, "batch_size", self.batch_size, "2 or more")
        right = 0 < self.learning_rate < float("inf")
        require(right, "learning_rate", self.learning_rate, "more than 0")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0 <= value < 1, name, value, "from 0 to below 1")
        require(0 <= self.score_lambda <= 1, "score_lambda", self.score_lambda, "from 0 to 1")
        require(self.search_steps >= 1, "search_steps", self.search_steps, "1 or more")
        self._require_own_options()

    def _require_own_options(self) -> None:
        """Refuse a value for an option that only other methods have."""
        defaults = {field.name: field.default for field in fields(self)}
        for name in frozenset().union(*OPTIONS.values()) - OPTIONS[self.method]:
            value, default = getattr(self, name), defaults[name]
            expected = f"{default}: {self.method} has no such option"
            require(value == default, name, value, expected)


@dataclass(frozen=True)
class LossSettings:
    """Settings that a sweep searches: the weights of the generator's losses and the latent size.

    Attributes:
        lambda_adv: weight of the adversarial loss.
        lambda_con: weight of the contextual loss.
        lambda_lat: weight of the latent loss.
        latent_dim: d, the generator's bottleneck width and the length of f(.).
    """

    lambda_adv: float
    lambda_con: float
    lambda_lat: float
    latent_dim: int

    def __post_init__(self) -> None:
        for name in LAMBDAS:
            value = getattr(self, name)
            require(0 <= value < float("inf"), name, value, "a finite number, 0 or more")
        require(self.latent_dim >= 1, "latent_dim", self.latent_dim, "1 or more")
