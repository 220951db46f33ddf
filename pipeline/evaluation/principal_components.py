"""Distance of patches from principal components of normals: a baseline, not one of the paper's."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from pipeline.common.names import Patches
from pipeline.patches.store import PatchSource, read_evenly_spaced

COMPONENTS = 16
DECIMALS = 6  # of a residual: float32 products are not the same beyond on every processor
FIT_PATCHES = 4096  # to fit on, evenly spread over all: 16 components need no more


@dataclass(frozen=True)
class PrincipalComponents:
    """Principal components of normal patches."""

    pca: PCA

    @classmethod
    def fit(cls, normals: PatchSource) -> "PrincipalComponents":
        """Fit to some of the training normals; the same patches give the same components."""
        patches = read_evenly_spaced(normals, FIT_PATCHES)
        count = min(COMPONENTS, len(patches))
        pca = PCA(n_components=count, svd_solver="randomized", random_state=0)
        with threadpool_limits(1):  # threads would sum in another order each time
            return cls(pca.fit(_flat(patches)))

    def residual(self, patches: Patches) -> NDArray[np.float64]:
        """Return the root mean square residual of patches, (N,), of values in [0, 1]."""
        if not len(patches):
            return np.empty(0)
        x = _flat(patches)
        with threadpool_limits(1):
            left = x - self.pca.inverse_transform(self.pca.transform(x))
        return np.sqrt(np.square(left, dtype=np.float64).mean(axis=1)).round(DECIMALS)


def _flat(patches: Patches) -> NDArray[np.float32]:
    return patches.reshape(len(patches), -1).astype(np.float32) / np.float32(255)
