"""Anomaly scores of patches (section III-D), from trained networks in evaluation mode."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.checkpoints import load_tensors, save_tensors
from pipeline.errors import InputError
from pipeline.models.skip_ganomaly.compiling import compiled
from pipeline.models.skip_ganomaly.losses import latent_distance, residual
from pipeline.models.skip_ganomaly.nets import (
    Discriminator,
    Generator,
    NetShape,
    fold_batch_norm,
)
from pipeline.models.skip_ganomaly.precision import products

Patches = NDArray[np.uint8]  # (N, H, W, C)
SCORE_BATCH = 64  # patches at once: of 16 to 256 the fastest (benchmarks/README.md)

MODEL_FORMAT = 1


@dataclass(frozen=True)
class PatchScores:
    """Scores of N patches, each (N,) float64, higher means more abnormal.

    Attributes:
        residual: R, mean |x - x_hat| with values in [-1, 1] (Equation 2).
        latent: L, Euclidean norm of f(x) - f(x_hat) (Equation 3).
        anomaly: A = lambda R + (1 - lambda) L (Equation 5).
    """

    residual: NDArray[np.float64]
    latent: NDArray[np.float64]
    anomaly: NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What turns A into a score that can be read, taken from validation normals alone.

    Attributes:
        minimum, maximum: of A, for Equation 6.
        threshold: passed by `false_alarm_rate` of the validation normals.
        false_alarm_rate: the share that the threshold was set at, 0 to 1.
    """

    minimum: float
    maximum: float
    threshold: float
    false_alarm_rate: float

    def scale(self, anomaly: NDArray[np.float64]) -> NDArray[np.float64]:
        """Equation 6, with stored bounds instead of the test set's.

        The paper scales by the minimum and maximum over the test set, which leaves a single new
        image without a score. So 0 and 1 are the ends of what validation normals reach, and an
        abnormal patch may pass 1.
        """
        return (anomaly - self.minimum) / (self.maximum - self.minimum)

    @property
    def scaled_threshold(self) -> float:
        """The threshold on the scale of `scale`."""
        return float(self.scale(np.array(self.threshold)))


class Detector:
    """Trained networks that score patches. Batch-norm uses its running statistics."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        score_lambda: float,
        device: torch.device | None = None,
        *,
        use_compiler: bool = False,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.use_compiler = use_compiler
        self.generator = generator.eval().to(self.device)
        self.discriminator = discriminator.eval().to(self.device)
        self.score_lambda = score_lambda

    def score(self, blocks: Iterable[Patches]) -> PatchScores:
        """Score blocks of patches, (N, H, W, C) uint8 each, as one row of scores."""
        parts = [self._score_batch(batch) for batch in _batches(blocks)]
        empty = np.empty((2, 0))
        residuals, latents = np.concatenate([empty, *parts], axis=1)
        anomaly = self.score_lambda * residuals + (1 - self.score_lambda) * latents  # Equation 5
        return PatchScores(residuals, latents, anomaly)

    @torch.inference_mode()
    def reconstruct(self, patches: Patches) -> Patches:
        """x_hat of some patches, back in uint8."""
        x_hat = self.generator(to_tensor(patches, self.device))
        pixels = ((x_hat + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).cpu().numpy()  # (N, C, H, W) to (N, H, W, C)

    @torch.inference_mode()
    def features(self, patches: Patches) -> NDArray[np.float32]:
        """f(x) of some patches, (N, d)."""
        found: Tensor = self.discriminator(to_tensor(patches, self.device))[1]
        return found.cpu().numpy()

    @torch.inference_mode()
    def _score_batch(self, patches: Patches) -> NDArray[np.float64]:
        """R and L of one batch, (2, N)."""
        x = to_tensor(patches, self.device)
        # A last batch is shorter, and compiling for its size would outlast what it saves.
        full = self.use_compiler and len(x) == SCORE_BATCH
        terms = compiled(score_terms) if full else score_terms
        with products("float32"):
            scores = torch.stack(terms(self.generator, self.discriminator, x))
        return scores.double().cpu().numpy()


def calibrate(anomaly: NDArray[np.float64], false_alarm_rate: float) -> Calibration:
    """Bounds and threshold from the anomaly scores of validation normals.

    Raises:
        InputError: the scores are all equal or not finite, so nothing can be scaled by them.
    """
    minimum, maximum = float(anomaly.min()), float(anomaly.max())
    if not np.isfinite([minimum, maximum]).all() or minimum == maximum:
        raise InputError(
            f"validation scores run from {minimum} to {maximum}, expected a finite range: "
            "lower model.learning_rate, or add validation scans"
        )
    threshold = float(np.quantile(anomaly, 1 - false_alarm_rate, method="higher"))
    return Calibration(minimum, maximum, threshold, false_alarm_rate)


def calibrated_model(
    shape: NetShape,
    best: dict[str, Any],
    score_lambda: float,
    validation: Iterable[Patches],
    false_alarm_rate: float,
    provenance: dict[str, Any],
) -> "TrainedModel":
    """The best epoch's networks with bounds and threshold from validation normals."""
    detector = build_detector(shape, best["networks"], score_lambda)
    calibration = calibrate(detector.score(validation).anomaly, false_alarm_rate)
    chosen = {"epoch": best["epoch"], "criterion": best["criterion"]}
    return TrainedModel(
        shape, best["networks"], score_lambda, calibration, {**provenance, **chosen}
    )


def to_tensor(patches: Patches, device: torch.device) -> Tensor:
    """uint8 (N, H, W, C) in 0 to 255, to float32 (N, C, H, W) in [-1, 1], the range of tanh."""
    pixels = torch.from_numpy(patches)
    if device.type == "cuda":
        pixels = pixels.pin_memory()  # so that the copy goes on beside the step before
    return normalise(pixels.to(device, non_blocking=True))


def normalise(pixels: Tensor) -> Tensor:
    """The same for a tensor; channels stay last in memory, which convolutions run fastest in."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def score_terms(generator: nn.Module, discriminator: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """R and L of patches x, (N,) each, from networks in evaluation mode."""
    x_hat = generator(x)
    # In evaluation mode a patch's features do not depend on its batch: one pass for both.
    features, features_hat = discriminator(torch.cat([x, x_hat]))[1].chunk(2)
    return residual(x, x_hat), latent_distance(features, features_hat)


class ScoringModule(nn.Module):
    """uint8 patches (N, H, W, C) to scaled anomaly scores (N,): one module to deploy."""

    def __init__(self, model: "TrainedModel") -> None:
        super().__init__()
        detector = model.detector()
        self.generator = detector.generator
        self.discriminator = detector.discriminator
        self.score_lambda = model.score_lambda
        self.calibration = model.calibration

    def forward(self, pixels: Tensor) -> Tensor:
        """Equations 5 and 6."""
        residuals, latents = score_terms(self.generator, self.discriminator, normalise(pixels))
        anomaly = self.score_lambda * residuals + (1 - self.score_lambda) * latents
        bounds = self.calibration
        return (anomaly - bounds.minimum) / (bounds.maximum - bounds.minimum)


@dataclass(frozen=True)
class TrainedModel:
    """What the `train` stage leaves: all that is needed to score, and where it came from.

    Attributes:
        shape: what the networks are built from.
        networks: their weights, by network.
        score_lambda: lambda of Equation 5.
        calibration: bounds and threshold.
        provenance: settings, best epoch and its criterion, digest of the data.
    """

    shape: NetShape
    networks: dict[str, Any]
    score_lambda: float
    calibration: Calibration
    provenance: dict[str, Any]

    def detector(self, *, use_compiler: bool = False) -> Detector:
        """Networks with these weights, ready to score."""
        return build_detector(
            self.shape, self.networks, self.score_lambda, use_compiler=use_compiler
        )

    def save(self, path: Path) -> None:
        """Write the model, whole or not at all."""
        save_tensors(path, {"format": MODEL_FORMAT, **asdict(self)})

    @classmethod
    def load(cls, path: Path) -> "TrainedModel":
        """Read a model; no code in it is run.

        Raises:
            InputError: the file is missing, not whole or not a model of this format.
        """
        content = load_tensors(path)
        if content.get("format") != MODEL_FORMAT:
            raise InputError(
                f"{path}: model format {content.get('format')}, expected {MODEL_FORMAT}: "
                "run `dvc repro train`"
            )
        return cls(
            NetShape(**content["shape"]),
            content["networks"],
            content["score_lambda"],
            Calibration(**content["calibration"]),
            content["provenance"],
        )


def build_detector(
    shape: NetShape,
    networks: dict[str, Any],
    score_lambda: float,
    device: torch.device | None = None,
    *,
    use_compiler: bool = False,
) -> Detector:
    """New networks of `shape` with the weights in `networks`, batch-norm folded into them."""
    generator, discriminator = Generator(shape), Discriminator(shape)
    generator.load_state_dict(networks["generator"])
    discriminator.load_state_dict(networks["discriminator"])
    for network in (generator, discriminator):
        fold_batch_norm(network.eval())
    return Detector(generator, discriminator, score_lambda, device, use_compiler=use_compiler)


def _batches(blocks: Iterable[Patches]) -> Iterable[Patches]:
    for block in blocks:
        for start in range(0, len(block), SCORE_BATCH):
            yield block[start : start + SCORE_BATCH]
