"""Anomaly scores of patches, for every method; networks are in evaluation mode.

Equation numbers are Skip-GANomaly's (section III-D).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.common.names import Patches
from pipeline.models.interface import Scorer, method_of
from pipeline.models.nets import NetShape, fold_batch_norm
from pipeline.models.pixels import to_patches, to_tensor
from pipeline.models.precision import matmul_precision
from pipeline.settings.model import ModelSettings

SCORE_BATCH = 64  # patches: the fastest batch of 16 to 256 (benchmarks/README.md)


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
class LabelledWindows:
    """The windows of labelled bags, N in all, which teach a score.

    Attributes:
        blocks: returns their patches, (any number, H, W, C) uint8 at a time.
        abnormal: (N,) True where a window has a threat.
        bags: number of bags, all of which have a threat.
    """

    blocks: Callable[[], Iterable[Patches]]
    abnormal: NDArray[np.bool_]
    bags: int


class Detector:
    """Scores patches by a trained or fitted method. Batch-norm uses its running statistics."""

    def __init__(self, scorer: Scorer, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.scorer = scorer.eval().to(self.device)

    def score(self, blocks: Iterable[Patches]) -> PatchScores:
        """Score blocks of patches, (N, H, W, C) uint8 each; the blocks' scores are concatenated."""
        names = self.scorer.weights
        parts = [self._score_batch(batch) for batch in _batches(blocks)]
        rows = np.concatenate([np.empty((len(names), 0)), *parts], axis=1)
        terms = dict(zip(names, rows, strict=True))
        return PatchScores(terms, self.scorer.anomaly(terms))

    @torch.inference_mode()
    def fit(self, normals: Iterable[Patches], labelled: LabelledWindows | None = None) -> None:
        """Fit the scorer to blocks of training normals, (N, H, W, C) uint8 each, and to labels."""
        with matmul_precision("float32"):
            self.scorer.fit(to_tensor(batch, self.device) for batch in _batches(normals))
            if labelled is not None:
                windows = (to_tensor(batch, self.device) for batch in _batches(labelled.blocks()))
                self.scorer.fit_head(windows, labelled.abnormal)

    @torch.inference_mode()
    def reconstruct(self, patches: Patches) -> Patches | None:
        """Return x_hat of patches, (N, H, W, C) uint8; None if the method reconstructs nothing."""
        x_hat = self.scorer.reconstruct(to_tensor(patches, self.device))
        return None if x_hat is None else to_patches(x_hat)

    @torch.inference_mode()
    def features(self, patches: Patches) -> NDArray[np.float32]:
        """Return the method's features of patches, (N, any length)."""
        with matmul_precision("float32"):
            return self.scorer.features(to_tensor(patches, self.device)).cpu().numpy()

    @torch.inference_mode()
    def explain(self, patches: Patches) -> list[str]:
        """Name the most suspicious thing in each patch, (N, H, W, C) uint8, or ""."""
        return self.scorer.explain(to_tensor(patches, self.device))

    @torch.inference_mode()
    def _score_batch(self, patches: Patches) -> NDArray[np.float64]:
        """Return the score terms of one batch, (terms, N), in the order of the scorer's weights."""
        x = to_tensor(patches, self.device)
        with matmul_precision("float32"):
            terms = self.scorer.terms(x)
        rows = torch.stack([terms[name] for name in self.scorer.weights])
        return rows.double().cpu().numpy()


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
    labelled: LabelledWindows | None = None,
) -> Detector:
    """Build a detector as `build_detector` does, and fit it to training normals and to labels."""
    detector = build_detector(shape, networks, settings, device)
    detector.fit(normals, labelled)
    return detector


def _batches(blocks: Iterable[Patches]) -> Iterable[Patches]:
    for block in blocks:
        for start in range(0, len(block), SCORE_BATCH):
            yield block[start : start + SCORE_BATCH]
