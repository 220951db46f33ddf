"""Anomaly scores of patches, from trained networks in evaluation mode, whatever the method.

Equations are those of Skip-GANomaly (section III-D).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.common.errors import InputError
from pipeline.common.names import Patches
from pipeline.models.interface import Scorer, method_of
from pipeline.models.neighbours import NormalFeatures
from pipeline.models.nets import NetShape, fold_batch_norm
from pipeline.models.precision import products
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.settings.model import ModelSettings

SCORE_BATCH = 64  # patches at once: of 16 to 256 the fastest (benchmarks/README.md)

MODEL_FORMAT = 4


@dataclass(frozen=True)
class PatchScores:
    """Scores of N patches, each (N,) float64, higher means more abnormal.

    Attributes:
        terms: what the method's anomaly score is made of, by name.
        anomaly: A, their weighted sum (Equation 5).
    """

    terms: dict[str, NDArray[np.float64]]
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

    def __init__(self, scorer: Scorer, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.scorer = scorer.eval().to(self.device)

    def score(self, blocks: Iterable[Patches]) -> PatchScores:
        """Score blocks of patches, (N, H, W, C) uint8 each, as one row of scores."""
        names, weights = zip(*self.scorer.weights.items(), strict=True)
        parts = [self._score_batch(batch) for batch in _batches(blocks)]
        rows = np.concatenate([np.empty((len(names), 0)), *parts], axis=1)
        anomaly = (np.array(weights)[:, None] * rows).sum(axis=0)  # Equation 5
        return PatchScores(dict(zip(names, rows, strict=True)), anomaly)

    @torch.inference_mode()
    def fit(self, normals: Iterable[Patches]) -> None:
        """Fit the scorer to blocks of training normals, (N, H, W, C) uint8 each."""
        with products("float32"):
            self.scorer.fit(to_tensor(batch, self.device) for batch in _batches(normals))

    @torch.inference_mode()
    def reconstruct(self, patches: Patches) -> Patches:
        """x_hat of some patches, back in uint8."""
        x_hat = self.scorer.reconstruct(to_tensor(patches, self.device))
        pixels = ((x_hat + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).cpu().numpy()  # (N, C, H, W) to (N, H, W, C)

    @torch.inference_mode()
    def features(self, patches: Patches) -> NDArray[np.float32]:
        """The method's description of some patches, (N, any length)."""
        with products("float32"):
            return self.scorer.features(to_tensor(patches, self.device)).cpu().numpy()

    @torch.inference_mode()
    def _score_batch(self, patches: Patches) -> NDArray[np.float64]:
        """The terms of one batch, (terms, N)."""
        x = to_tensor(patches, self.device)
        with products("float32"):
            scores = score_terms(self.scorer, x)
        return scores.double().cpu().numpy()


def score_terms(scorer: Scorer, x: Tensor) -> Tensor:
    """The terms of patches x, (N, C, S, S) in [-1, 1], as rows: (terms, N)."""
    terms = scorer.terms(x)
    return torch.stack([terms[name] for name in scorer.weights])


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
    settings: ModelSettings,
    normals: Iterable[Patches],
    validation: Iterable[Patches],
    false_alarm_rate: float,
    provenance: dict[str, Any],
) -> "TrainedModel":
    """The best epoch's networks, fitted to blocks of training normals.

    Bounds and threshold are those of blocks of `validation` normals.
    """
    detector = fitted_detector(shape, best["networks"], settings, normals)
    fitted = detector.scorer.normals
    calibration = calibrate(detector.score(validation).anomaly, false_alarm_rate)
    chosen = {"epoch": best["epoch"], "criterion": best["criterion"]}
    about = {**provenance, **chosen}
    features = None if fitted is None else fitted.features.cpu()
    return TrainedModel(shape, best["networks"], settings, calibration, about, features)


def to_tensor(patches: Patches, device: torch.device) -> Tensor:
    """uint8 (N, H, W, C) in 0 to 255, to float32 (N, C, H, W) in [-1, 1], the range of tanh."""
    pixels = torch.from_numpy(patches)
    if device.type == "cuda":
        pixels = pixels.pin_memory()  # so that the copy goes on beside the step before
    return normalise(pixels.to(device, non_blocking=True))


def normalise(pixels: Tensor) -> Tensor:
    """The same for a tensor; channels stay last in memory, which convolutions run fastest in."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0


class ScoringModule(nn.Module):
    """uint8 patches (N, H, W, C) to scaled anomaly scores (N,): one module to deploy."""

    def __init__(self, model: "TrainedModel") -> None:
        super().__init__()
        self.scorer = model.detector().scorer
        self.calibration = model.calibration

    def forward(self, pixels: Tensor) -> Tensor:
        """Equations 5 and 6."""
        anomaly = self.scorer(normalise(pixels))
        bounds = self.calibration
        return (anomaly - bounds.minimum) / (bounds.maximum - bounds.minimum)


@dataclass(frozen=True)
class TrainedModel:
    """What the `train` stage leaves: all that is needed to score, and where it came from.

    Attributes:
        shape: what the networks are built from.
        networks: their weights, by network.
        settings: the method, and how it scores.
        calibration: bounds and threshold.
        provenance: settings, best epoch and its criterion, digest of the data.
        normals: features of training normals, (M, d), where scores are distances from them.
    """

    shape: NetShape
    networks: dict[str, Any]
    settings: ModelSettings
    calibration: Calibration
    provenance: dict[str, Any]
    normals: Tensor | None = None

    def detector(self) -> Detector:
        """Networks with these weights, ready to score."""
        detector = build_detector(self.shape, self.networks, self.settings)
        if self.normals is not None:
            detector.scorer.normals = NormalFeatures(self.normals)
        return detector

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
            ModelSettings(**content["settings"]),
            Calibration(**content["calibration"]),
            content["provenance"],
            content["normals"],
        )


def build_detector(
    shape: NetShape,
    networks: dict[str, Any],
    settings: ModelSettings,
    device: torch.device | None = None,
) -> Detector:
    """New networks of `shape` with the weights in `networks`, batch-norm folded into them."""
    method = method_of(settings)
    built = method.build_networks(shape, 0)
    for name, network in built.items():
        network.load_state_dict(networks[name])
        fold_batch_norm(network.eval())
    return Detector(method.scorer(built, settings), device)


def fitted_detector(
    shape: NetShape,
    networks: dict[str, Any],
    settings: ModelSettings,
    normals: Iterable[Patches],
    device: torch.device | None = None,
) -> Detector:
    """The same, fitted to blocks of training normals."""
    detector = build_detector(shape, networks, settings, device)
    detector.fit(normals)
    return detector


def _batches(blocks: Iterable[Patches]) -> Iterable[Patches]:
    for block in blocks:
        for start in range(0, len(block), SCORE_BATCH):
            yield block[start : start + SCORE_BATCH]
