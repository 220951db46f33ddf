"""Anomaly scores of patches, from trained networks in evaluation mode, for every method.

Equation numbers are Skip-GANomaly's (section III-D).
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.common.errors import InputError
from pipeline.common.names import Patches
from pipeline.models.bag_scores import Tails
from pipeline.models.interface import Scorer, method_of
from pipeline.models.nets import NetShape, fold_batch_norm
from pipeline.models.pixels import to_patches, to_tensor
from pipeline.models.precision import products
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.settings.methods import WITHOUT_NETWORKS, MethodName
from pipeline.settings.model import ModelSettings
from pipeline.settings.windows import WindowRule

SCORE_BATCH = 64  # patches: the fastest batch of 16 to 256 (benchmarks/README.md)

MODEL_FORMAT = 6

HEAD_LABELS = "labels of {} bags used (model.head)"


@dataclass(frozen=True)
class PatchScores:
    """Scores of N patches, each (N,) float64; a higher score is more abnormal.

    Attributes:
        terms: the terms of the method's anomaly score, by name, before they are weighted.
        anomaly: A, the weighted sum of the terms (Equation 5).
    """

    terms: dict[str, NDArray[np.float64]]
    anomaly: NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """The windows of labelled bags, N in all, which teach a score.

    Attributes:
        blocks: returns their patches, (any number, H, W, C) uint8 at a time.
        abnormal: (N,) True where a window has a threat.
        bags: number of bags, all of which have a threat.
    """

    blocks: Callable[[], Iterable[Patches]]
    abnormal: NDArray[np.bool_]
    bags: int


@dataclass(frozen=True)
class Calibration:
    """Bounds and threshold of the anomaly score A, taken from validation normals alone.

    Attributes:
        minimum, maximum: bounds of A, for Equation 6.
        threshold: the value of A that the share `false_alarm_rate` of validation normals exceeds.
        false_alarm_rate: the share at which the threshold was set, 0 to 1.
    """

    minimum: float
    maximum: float
    threshold: float
    false_alarm_rate: float

    def scale(self, anomaly: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scale A by Equation 6, with the stored bounds instead of the test set's.

        The paper takes the bounds from the test set, so it cannot score a single new image. Here
        0 and 1 are the lowest and the highest score of validation normals, and the score of an
        abnormal patch may exceed 1.
        """
        return (anomaly - self.minimum) / (self.maximum - self.minimum)

    @property
    def scaled_threshold(self) -> float:
        """The threshold, scaled by `scale`."""
        return float(self.scale(np.array(self.threshold)))


class Detector:
    """Trained networks that score patches. Batch-norm uses its running statistics."""

    def __init__(self, scorer: Scorer, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.scorer = scorer.eval().to(self.device)

    def score(self, blocks: Iterable[Patches]) -> PatchScores:
        """Score blocks of patches, (N, H, W, C) uint8 each; the blocks' scores are concatenated."""
        names, weights = zip(*self.scorer.weights.items(), strict=True)
        parts = [self._score_batch(batch) for batch in _batches(blocks)]
        rows = np.concatenate([np.empty((len(names), 0)), *parts], axis=1)
        anomaly = (np.array(weights)[:, None] * rows).sum(axis=0)  # Equation 5
        return PatchScores(dict(zip(names, rows, strict=True)), anomaly)

    @torch.inference_mode()
    def fit(self, normals: Iterable[Patches], labelled: Labelled | None = None) -> None:
        """Fit the scorer to blocks of training normals, (N, H, W, C) uint8 each, and to labels."""
        with products("float32"):
            self.scorer.fit(to_tensor(batch, self.device) for batch in _batches(normals))
            if labelled is not None:
                windows = (to_tensor(batch, self.device) for batch in _batches(labelled.blocks()))
                self.scorer.fit_head(windows, labelled.abnormal)

    @torch.inference_mode()
    def reconstruct(self, patches: Patches) -> Patches | None:
        """Return the reconstructions x_hat of patches, (N, H, W, C) uint8, or None."""
        x_hat = self.scorer.reconstruct(to_tensor(patches, self.device))
        return None if x_hat is None else to_patches(x_hat)

    @torch.inference_mode()
    def features(self, patches: Patches) -> NDArray[np.float32]:
        """Return the method's features of patches, (N, any length)."""
        with products("float32"):
            return self.scorer.features(to_tensor(patches, self.device)).cpu().numpy()

    @torch.inference_mode()
    def explain(self, patches: Patches) -> list[str]:
        """Say of each patch, (N, H, W, C) uint8, what is most suspicious in it, or ""."""
        return self.scorer.explain(to_tensor(patches, self.device))

    @torch.inference_mode()
    def _score_batch(self, patches: Patches) -> NDArray[np.float64]:
        """Return the score terms of one batch, (terms, N)."""
        x = to_tensor(patches, self.device)
        with products("float32"):
            scores = score_terms(self.scorer, x)
        return scores.double().cpu().numpy()


def score_terms(scorer: Scorer, x: Tensor) -> Tensor:
    """Return the score terms of patches x, (N, C, S, S) in [-1, 1], as rows: (terms, N)."""
    terms = scorer.terms(x)
    return torch.stack([terms[name] for name in scorer.weights])


def calibrate(anomaly: NDArray[np.float64], false_alarm_rate: float) -> Calibration:
    """Return bounds and threshold from the anomaly scores of validation normals.

    Raises:
        InputError: the scores are all equal or not finite, so they give no bounds to scale by.
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
    scan_ids: NDArray[np.str_],
    rule: WindowRule,
    false_alarm_rate: float,
    provenance: dict[str, Any],
    labelled: Labelled | None = None,
) -> "TrainedModel":
    """Return the model of the best epoch, fitted to blocks of training normals and to labels.

    Bounds, threshold and tails come from the blocks of validation normals in `validation`, which
    are windows of the scans `scan_ids` by `rule`.
    """
    detector = fitted_detector(shape, best["networks"], settings, normals, labelled=labelled)
    compared = detector.scorer.normals
    bags = 0 if labelled is None else labelled.bags
    anomaly = detector.score(validation).anomaly
    return TrainedModel(
        shape,
        best["networks"],
        settings,
        calibrate(anomaly, false_alarm_rate),
        {
            **provenance,
            "epoch": best["epoch"],
            "criterion": best["criterion"],
            "labelled_bags": bags,
        },
        Tails.of(anomaly, scan_ids),
        rule,
        None if compared is None else compared.cpu(),
        detector.scorer.head,
    )


@dataclass(frozen=True)
class TrainedModel:
    """Output of the `train` stage: all that scoring needs, and the model's provenance.

    Attributes:
        shape: the sizes of the networks.
        networks: the state of each network, by the network's name.
        settings: the method, and how it scores.
        calibration: bounds and threshold.
        provenance: settings, best epoch and its criterion, digest of the data, and the number of
            labelled bags that taught the score.
        tails: of the scores of validation normal windows and bags, for p-values.
        rule: the rule by which its scans are cut into windows.
        normals: features of training normals, (M, d), if scores compare with them.
        head: weights and, last, the bias of a score that labels taught, (d + 1,) float64.
    """

    shape: NetShape
    networks: dict[str, Any]
    settings: ModelSettings
    calibration: Calibration
    provenance: dict[str, Any]
    tails: Tails
    rule: WindowRule
    normals: Tensor | None = None
    head: Tensor | None = None

    def detector(self) -> Detector:
        """Build a detector with these weights, ready to score."""
        detector = build_detector(self.shape, self.networks, self.settings)
        if self.normals is not None:
            detector.scorer.compare_with(self.normals)
        detector.scorer.head = self.head
        return detector

    def save(self, path: Path) -> None:
        """Write the model atomically."""
        content = {**asdict(self), "tails": self.tails.to_tensors()}
        save_tensors(path, {"format": MODEL_FORMAT, **content})

    @classmethod
    def load(cls, path: Path) -> "TrainedModel":
        """Read a model, without running any code in the file.

        Raises:
            InputError: the file is missing, incomplete or not a model of this format.
        """
        content = load_tensors(path)
        if content.get("format") != MODEL_FORMAT:
            raise InputError(
                f"{path}: model format {content.get('format')}, expected {MODEL_FORMAT}: "
                "run `dvc repro train`"
            )
        try:
            model = cls(
                NetShape(**content["shape"]),
                content["networks"],
                ModelSettings(**content["settings"]),
                Calibration(**content["calibration"]),
                content["provenance"],
                Tails.from_tensors(content["tails"]),
                WindowRule(**content["rule"]),
                content["normals"],
                content["head"],
            )
            model.require_whole()
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(
                f"{path}: not a model of ours: {reason}: run `dvc repro train`"
            ) from None
        return model

    def require_whole(self) -> None:
        """Compare the parts with each other, before any memory is taken for networks.

        Raises:
            ValueError: sizes, weights and bounds do not fit together.
        """
        if self.settings.method not in get_args(MethodName):
            raise ValueError(f"method {self.settings.method!r}, expected one of ours")
        sizes, bounds = vars(self.shape), vars(self.calibration)
        if not all(type(size) is int and size > 0 for size in sizes.values()):
            raise ValueError(f"sizes {sizes}, expected whole numbers above 0")
        if self.rule.size != self.shape.side:
            raise ValueError(f"windows of {self.rule.size} pixels, but {sizes}")
        finite = all(np.isfinite(bound) for bound in bounds.values())
        if not finite or self.calibration.minimum >= self.calibration.maximum:
            raise ValueError(
                f"bounds {bounds}, expected finite ones, the minimum below the maximum"
            )
        self._require_whole_normals()
        self._require_whole_head()
        with torch.device("meta"):  # shapes without memory
            built = method_of(self.settings).build_networks(self.shape, 0)
        expected = {
            f"{name}.{key}": (value.shape, value.dtype)
            for name, network in built.items()
            for key, value in network.state_dict().items()
        }
        found = {
            f"{name}.{key}": (value.shape, value.dtype)
            for name, network in self.networks.items()
            for key, value in network.items()
        }
        if wrong := sorted(
            name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
        ):
            raise ValueError(
                f"{wrong[0]}: {found.get(wrong[0])}, expected {expected.get(wrong[0])}"
            )

    def _require_whole_normals(self) -> None:
        """Refuse normals that are missing, though scores compare with them, or are no features."""
        settings = self.settings
        compared = settings.method in WITHOUT_NETWORKS or settings.latent_score != "distance"
        if self.normals is None:
            if compared:
                raise ValueError("the normals that scores compare with are missing")
        elif self.normals.ndim != 2 or not len(self.normals) or not self.normals.isfinite().all():
            raise ValueError(f"normals {tuple(self.normals.shape)}, expected finite ones, (M, d)")

    def _require_whole_head(self) -> None:
        """Refuse a head that is missing, or is not one of finite weights for the features."""
        if self.settings.head != "labelled":
            if self.head is not None:
                raise ValueError(f"a head, but model.head is {self.settings.head!r}")
            return
        if self.head is None or self.normals is None:
            raise ValueError("model.head is 'labelled', but the head or the normals are missing")
        shape = (self.normals.shape[1] + 1,)
        if self.head.shape != shape or self.head.dtype != torch.float64:
            found = tuple(self.head.shape), self.head.dtype
            raise ValueError(f"head {found}, expected {(shape, torch.float64)}")
        if not self.head.isfinite().all():
            raise ValueError("head with weights that are not finite")


def build_detector(
    shape: NetShape,
    networks: dict[str, Any],
    settings: ModelSettings,
    device: torch.device | None = None,
) -> Detector:
    """Build networks of `shape` with the weights in `networks`; batch-norm is folded into them."""
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
    labelled: Labelled | None = None,
) -> Detector:
    """Build a detector as `build_detector` does, and fit it to training normals and to labels."""
    detector = build_detector(shape, networks, settings, device)
    detector.fit(normals, labelled)
    return detector


def _batches(blocks: Iterable[Patches]) -> Iterable[Patches]:
    for block in blocks:
        for start in range(0, len(block), SCORE_BATCH):
            yield block[start : start + SCORE_BATCH]
