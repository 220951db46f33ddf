"""How far a patch's features are from those of training normals."""

import torch
from torch import Tensor, nn

NEIGHBOURS = 5
MOST_NORMALS = 4096  # that are remembered: more gain little, and make a model file larger


class NormalFeatures(nn.Module):
    """Features of training normals, (M, d), to which others are compared.

    Each of the d is scaled by its deviation among them.
    """

    mean: Tensor
    scale: Tensor
    normals: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        deviation = features.std(dim=0, correction=0)
        self.register_buffer("mean", features.mean(dim=0))
        self.register_buffer("scale", torch.where(deviation > 0, deviation, 1.0))
        self.register_buffer("normals", self._scaled(features))

    def forward(self, features: Tensor) -> Tensor:
        """Mean Euclidean distance of features, (N, d), to the `NEIGHBOURS` nearest, (N,)."""
        # By products it would be faster, but then a distance also depends on the rest of its batch.
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(self._scaled(features), self.normals, compute_mode=exact)
        nearest = distances.topk(min(NEIGHBOURS, len(self.normals)), largest=False).values
        return nearest.mean(dim=1)

    def _scaled(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale
