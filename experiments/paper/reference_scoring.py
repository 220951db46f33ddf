"""Scores patches as the authors' 2019 code does: the order of the test set, its batches, its terms.

Neither the networks' mode nor the precision is chosen here: in training mode, batch-norm uses the
statistics of each batch, so the order decides the scores.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.common.names import Patches, Scores
from pipeline.evaluation.scores import ANOMALY
from pipeline.models.interface import Scorer
from pipeline.models.methods.ganomaly.method import GanomalyScorer
from pipeline.models.methods.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.nets import features_of_both
from pipeline.models.pixels import to_tensor

Order = NDArray[np.intp]  # rows of the test set


def class_order(normal: NDArray[np.bool_]) -> Order:
    """Return the rows of a test set, all normal patches first, as the code has them."""
    return np.argsort(~normal, kind="stable")


def shuffled_order(count: int, seed: int) -> Order:
    """Return the rows of a test set of `count` patches in a random order."""
    return np.random.default_rng(seed).permutation(count)


def batches(
    patches: Patches, order: Order, batch_size: int, device: torch.device
) -> Iterator[Tensor]:
    """Yield the patches of `order`, (N, C, S, S) in [-1, 1]; the last batch may be smaller."""
    for start in range(0, len(order), batch_size):
        yield to_tensor(patches[order[start : start + batch_size]], device)


@torch.no_grad()
def reference_scores(
    scorer: Scorer, patches: Patches, order: Order, batch_size: int, device: torch.device
) -> dict[str, Scores]:
    """Return the anomaly score and its terms, (N,) each, of the patches of `order`, in this order.

    Args:
        scorer: in training mode batch-norm uses each batch's statistics, and its running statistics
            change.
        patches: (M, H, W, C) uint8, the test set.
        order: (N,) rows of `patches`.
        batch_size: patches that are scored together.
        device: the device of the scorer's networks.
    """
    parts = []
    for x in batches(patches, order, batch_size, device):
        of_batch = reference_terms(scorer, x)
        parts.append(torch.stack([of_batch[name] for name in scorer.weights]).double().cpu())
    terms = dict(zip(scorer.weights, torch.cat(parts, dim=1).numpy(), strict=True))
    return {ANOMALY: scorer.anomaly(terms), **terms}


def reference_terms(scorer: Scorer, x: Tensor) -> dict[str, Tensor]:
    """Return the terms of patches x as the code computes them, (N,) each.

    Means of squares in Skip-GANomaly and GANomaly, where the papers have sums and norms; in the
    other methods the papers' own.
    """
    if isinstance(scorer, SkipGanomalyScorer):
        x_hat = scorer.generator(x)
        latent = mean_square(*features_of_both(scorer.discriminator, x, x_hat))
    elif isinstance(scorer, GanomalyScorer):
        x_hat, z, z_hat = scorer.generator(x)
        latent = mean_square(z, z_hat)
    else:
        return scorer.terms(x)
    return {"residual": mean_square(x, x_hat), "latent": latent}


def mean_square(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean of (x - y)^2 over all dimensions except the first, (N,)."""
    return (x - y).square().flatten(1).mean(dim=1)
