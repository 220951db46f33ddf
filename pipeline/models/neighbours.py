"""How far a patch's features are from those of training normals."""

import torch
from torch import Tensor, nn

NEIGHBOURS = 5
MOST_NORMALS = 4096  # that are kept: more gain little, and make a model file larger


class NormalFeatures(nn.Module):
    """Features of training normals, (M, d), to which others are compared.

    Each of the d is scaled by its deviation among them. In float64, since distances are taken by
    products: in float32 their rounding would show, and differ with the size of a batch.

    Attributes:
        features: as they were given, for a model file.
    """

    mean: Tensor
    scale: Tensor
    normals: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features
        features = features.double()
        deviation = features.std(dim=0, correction=0)
        self.register_buffer("mean", features.mean(dim=0))
        self.register_buffer("scale", torch.where(deviation > 0, deviation, 1.0))
        self.register_buffer("normals", self._scaled(features))

    def forward(self, features: Tensor) -> Tensor:
        """Mean Euclidean distance of features, (N, d), to the `NEIGHBOURS` nearest, (N,)."""
        by_products = "use_mm_for_euclid_dist"
        scaled = self._scaled(features.double())
        distances = torch.cdist(scaled, self.normals, compute_mode=by_products)
        nearest = distances.topk(min(NEIGHBOURS, len(self.normals)), largest=False).values
        return nearest.mean(dim=1).to(features.dtype)

    def _scaled(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale
