"""Scores one new scan: the bag's p-value, the windows to look at, and a map of evidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.errors import InputError
from pipeline.common.names import Image, PValues, Scores
from pipeline.models.bag_scores import Tails, bag_score
from pipeline.models.detector import Detector
from pipeline.models.trained_model import TrainedModel
from pipeline.patches.windows import (
    foreground_mask,
    foreground_origins,
    stitch,
    top_non_overlapping,
    window_pixels,
)
from pipeline.settings.windows import WindowRule

SHOWN_WINDOWS = 3  # windows to look at
BLOCK = 1024  # windows whose pixels are in memory at a time: 12 MB of 64 pixels in colour


@dataclass(frozen=True)
class Look:
    """A window to look at.

    Attributes:
        left, top, width, height: its box in the scan, in pixels.
        p_value: the share of validation normal windows with this score or a higher one.
        because: the most suspicious thing in it; "" if the method names none.
    """

    left: int
    top: int
    width: int
    height: int
    p_value: float
    because: str = ""


@dataclass(frozen=True)
class ScreenedImage:
    """The result of screening one scan.

    Attributes:
        p_value: the share of validation bags that are as suspicious, 1 / (bags + 1) to 1.
        score: of the bag, by `bag_score`; it ranks bags with the same p-value.
        windows: number of windows that are not background.
        looks: up to `SHOWN_WINDOWS` windows, the most suspicious first, none of which overlap.
        evidence: (H, W) -log10 of the p-values of the windows around each pixel; 2 is one normal
            window of 100. NaN in air, and where there is only background.
    """

    p_value: float
    score: float
    windows: int
    looks: tuple[Look, ...]
    evidence: NDArray[np.float32]


@dataclass(frozen=True)
class ImageScreener:
    """A model, ready to score scans.

    Attributes:
        detector: scores windows.
        channels: of the model's scans.
        rule: the rule by which its scans are cut into windows.
        tails: of the scores of validation windows and bags.
    """

    detector: Detector
    channels: int
    rule: WindowRule
    tails: Tails

    @classmethod
    def of(cls, model: TrainedModel) -> "ImageScreener":
        """Build the networks of a model."""
        return cls(model.detector(), model.shape.channels, model.rule, model.tails)

    def screen(self, image: Image) -> ScreenedImage:
        """Score a scan (H, W, C) uint8.

        Raises:
            InputError: the scan is smaller than a window, or has another number of channels than
                the model's scans.
        """
        height, width, channels = image.shape
        if channels != self.channels:
            raise InputError(
                f"{channels} channels, but the model is of scans with {self.channels}: train a "
                "model on scans of this kind, or convert the file"
            )
        rule, whole = self.rule, self.rule.mode == "whole"
        origins = np.zeros((1, 2), dtype=np.int32) if whole else foreground_origins(image, rule)
        blocks = (
            window_pixels(image, origins[start : start + BLOCK], rule)
            for start in range(0, len(origins), BLOCK)
        )
        scores = self.detector.score(blocks).anomaly
        p_values = self.tails.windows.p_values(scores)
        if whole:
            evidence = np.full((height, width), -np.log10(p_values[0]), dtype=np.float32)
        else:
            evidence = evidence_map(image, p_values, origins, rule.size)
        score = bag_score(p_values)
        return ScreenedImage(
            p_value=float(self.tails.bags.p_values(np.array([score]))[0]),
            score=score,
            windows=len(origins),
            looks=windows_to_look_at(self.detector, rule, image, origins, scores, p_values),
            evidence=evidence,
        )


def windows_to_look_at(
    detector: Detector,
    rule: WindowRule,
    image: Image,
    origins: NDArray[np.int32],
    scores: Scores,
    p_values: PValues,
) -> tuple[Look, ...]:
    """Return up to `SHOWN_WINDOWS` windows, the most suspicious first, none of which overlap.

    Args:
        detector: names what is suspicious in a window.
        rule: the rule by which the scan was cut.
        image: the scan, (H, W, C).
        origins: (N, 2) of its windows.
        scores: (N,) of the windows.
        p_values: (N,) of the windows.
    """
    first = top_non_overlapping(scores, origins, rule.size, SHOWN_WINDOWS)
    because = detector.explain(window_pixels(image, origins[first], rule))
    width, height = image.shape[1::-1] if rule.mode == "whole" else (rule.size, rule.size)
    return tuple(
        Look(int(left), int(top), width, height, float(p_value), words)
        for (top, left), p_value, words in zip(
            origins[first].tolist(), p_values[first], because, strict=True
        )
    )


def evidence_map(
    image: Image, p_values: PValues, origins: NDArray[np.int32], size: int
) -> NDArray[np.float32]:
    """Return -log10 of the p-values around each pixel of a scan, (H, W); NaN in air.

    Args:
        image: (H, W, C).
        p_values: (N,) of the windows.
        origins: (N, 2) of the windows.
        size: the windows' side in pixels.
    """
    evidence = stitch(-np.log10(p_values), origins, size, *image.shape[:2])
    evidence[~foreground_mask(image)] = np.nan
    return evidence
