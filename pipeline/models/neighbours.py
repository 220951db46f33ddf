"""Distances from a patch's features to the features of training normals."""

import torch
from torch import Tensor, nn

NEIGHBOURS = 5


class NormalFeatures(nn.Module):
    """Features of training normals, (M, d): the reference set for distances.

    Each of the d features is standardised over the set. Distances are computed in float64 by
    matrix products: in float32 the rounding would show, and vary with the batch size.
    """

    mean: Tensor
    scale: Tensor
    normals: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        features = features.double()
        deviation = features.std(dim=0, correction=0)
        self.register_buffer("mean", features.mean(dim=0))
        self.register_buffer("scale", torch.where(deviation > 0, deviation, 1.0))
        self.register_buffer("normals", self._scaled(features))

    def forward(self, features: Tensor) -> Tensor:
        """Return mean Euclidean distances of features, (N, d), to `NEIGHBOURS` nearest, (N,)."""
        by_products = "use_mm_for_euclid_dist"
        scaled = self._scaled(features.double())
        distances = torch.cdist(scaled, self.normals, compute_mode=by_products)
        nearest = distances.topk(min(NEIGHBOURS, len(self.normals)), largest=False).values
        return nearest.mean(dim=1).to(features.dtype)

    def _scaled(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale
