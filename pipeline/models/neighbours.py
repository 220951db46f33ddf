"""The distance from a patch's features to their nearest neighbours among training normals (kNN)."""

import torch
from torch import Tensor, nn

NEIGHBOURS = 5


class NeighbourDistance(nn.Module):
    """Mean Euclidean distance to the `NEIGHBOURS` nearest features of training normals, (M, d).

    Each of the d features is standardised over the M normals. Distances are computed in float64 by
    matrix products: in float32 the rounding would show, and vary with the batch size.
    """

    mean: Tensor
    scale: Tensor
    normals: Tensor

    def __init__(self, normals: Tensor) -> None:
        super().__init__()
        normals = normals.double()
        deviation = normals.std(dim=0, correction=0)
        self.register_buffer("mean", normals.mean(dim=0))
        self.register_buffer("scale", torch.where(deviation > 0, deviation, 1.0))
        self.register_buffer("normals", self._scaled(normals))

    def forward(self, features: Tensor) -> Tensor:
        """Return the distances, (N,), of features (N, d)."""
        by_products = "use_mm_for_euclid_dist"
        scaled = self._scaled(features.double())
        distances = torch.cdist(scaled, self.normals, compute_mode=by_products)
        nearest = distances.topk(min(NEIGHBOURS, len(self.normals)), largest=False).values
        return nearest.mean(dim=1).to(features.dtype)

    def _scaled(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale
