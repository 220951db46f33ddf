"""The output of the `train` stage: a method's networks, and all else that scoring needs, as a file.

Equation numbers are Skip-GANomaly's (section III-D).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.common.errors import InputError, on_one_line
from pipeline.common.names import Patches
from pipeline.models.bag_scores import Tails
from pipeline.models.detector import Detector, LabelledWindows, build_detector, fitted_detector
from pipeline.models.interface import method_of
from pipeline.models.nets import NetShape
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.settings.methods import WITHOUT_NETWORKS, MethodName
from pipeline.settings.model import ModelSettings
from pipeline.settings.windows import WindowRule

MODEL_FORMAT = 7

HEAD_LABELS = "labels of {} bags used (model.head)"


@dataclass(frozen=True)
class Calibration:
    """Bounds and threshold of the anomaly score A, taken from validation normals alone.

    Attributes:
        minimum, maximum: bounds of A, for Equation 6.
        threshold: a value of A that at most the share `false_alarm_rate` of validation normals
            exceeds: one of them is equal to it.
        false_alarm_rate: the share that the threshold was set for, 0 to 1.
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


def calibrate(anomaly: NDArray[np.float64], false_alarm_rate: float) -> Calibration:
    """Return bounds and threshold from the anomaly scores of validation normals.

    Raises:
        InputError: the scores are all equal or not finite, so they give no bounds to scale by.
    """
    minimum, maximum = float(anomaly.min()), float(anomaly.max())
    if not np.isfinite([minimum, maximum]).all():
        raise InputError(
            f"validation scores run from {minimum} to {maximum}, expected finite scores: "
            "lower model.learning_rate"
        )
    if minimum == maximum:
        raise InputError(
            f"all validation scores are {minimum}, expected different ones: add validation scans, "
            "and check that objects are darker than air in them"
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
    labelled: LabelledWindows | None = None,
    normal: NDArray[np.bool_] | None = None,
) -> "TrainedModel":
    """Return the model of the best epoch, fitted to training normals and to labels, and calibrated.

    Bounds, threshold and tails come from the validation windows.

    Args:
        shape: the sizes of the networks.
        best: `networks`, `epoch` and `criterion` of the best epoch, from `train`.
        settings: the method, and how it scores.
        normals: blocks of training normals, (any number, H, W, C) uint8.
        validation: blocks of the N validation windows, (any number, H, W, C) uint8.
        scan_ids: (N,) the scan of each validation window.
        rule: the rule by which scans were cut into windows.
        false_alarm_rate: the share of validation normals that may exceed the threshold, 0 to 1.
        provenance: the settings, and the digest of the data.
        labelled: labelled windows that teach the score; None without.
        normal: (N,) False for validation windows on ignored objects, which count in the tail of
            bags alone, since nobody knows the objects in a new bag; None if all are normal.

    Raises:
        InputError: the validation scores are all equal or not finite.
    """
    detector = fitted_detector(shape, best["networks"], settings, normals, labelled=labelled)
    compared = detector.scorer.normals
    bags = 0 if labelled is None else labelled.bags
    anomaly = detector.score(validation).anomaly
    return TrainedModel(
        shape=shape,
        networks=best["networks"],
        settings=settings,
        calibration=calibrate(anomaly if normal is None else anomaly[normal], false_alarm_rate),
        provenance={
            **provenance,
            "epoch": best["epoch"],
            "criterion": best["criterion"],
            "labelled_bags": bags,
        },
        tails=Tails.of(anomaly, scan_ids, normal),
        rule=rule,
        normals=None if compared is None else compared.cpu(),
        head=detector.scorer.head,
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

    @property
    def notes(self) -> list[str]:
        """Lines for people about this model: the labels that taught it."""
        bags = self.provenance.get("labelled_bags")
        return [HEAD_LABELS.format(bags)] if bags else []

    def detector(self) -> Detector:
        """Build a detector with these weights, ready to score."""
        detector = build_detector(self.shape, self.networks, self.settings)
        if self.normals is not None:
            detector.scorer.set_reference(self.normals)
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
                shape=NetShape(**content["shape"]),
                networks=content["networks"],
                settings=ModelSettings(**content["settings"]),
                calibration=Calibration(**content["calibration"]),
                provenance=content["provenance"],
                tails=Tails.from_tensors(content["tails"]),
                rule=WindowRule(**content["rule"]),
                normals=content["normals"],
                head=content["head"],
            )
            model.validate()
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: incomplete or foreign model file: {on_one_line(error)}: "
                "run `dvc repro train`"
            ) from None
        return model

    def validate(self) -> None:
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
        expected = _shapes({name: network.state_dict() for name, network in built.items()})
        stored = _shapes(self.networks)
        if wrong := {name for name, _ in expected.items() ^ stored.items()}:
            first = min(wrong)
            raise ValueError(f"{first}: {stored.get(first)}, expected {expected.get(first)}")

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
            stored = tuple(self.head.shape), self.head.dtype
            raise ValueError(f"head {stored}, expected {(shape, torch.float64)}")
        if not self.head.isfinite().all():
            raise ValueError("head with weights that are not finite")


def _shapes(networks: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the shape and the type of each tensor of networks' states, by ``network.tensor``."""
    return {
        f"{name}.{key}": (tuple(value.shape), value.dtype)
        for name, state in networks.items()
        for key, value in state.items()
    }
