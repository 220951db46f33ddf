from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pipeline.common.names import TEST, TRAIN
from pipeline.evaluation import principal_components
from pipeline.evaluation.principal_components import PrincipalComponents
from pipeline.patches.store import PatchStore


def test_the_residual_is_what_the_first_singular_vectors_leave_over(patches: Path) -> None:
    normals, test = PatchStore(patches, TRAIN), PatchStore(patches, TEST).read(0, 9)
    found = PrincipalComponents.fit(normals).residual(test)
    x = np.concatenate(list(normals.blocks())).reshape(len(normals), -1) / 255.0
    mean = x.mean(axis=0)
    vectors = np.linalg.svd(x - mean, full_matrices=False)[2][:16]
    centred = test.reshape(len(test), -1) / 255.0 - mean
    left = centred - centred @ vectors.T @ vectors
    np.testing.assert_allclose(found, np.sqrt((left**2).mean(axis=1)), rtol=0.01)


def test_normal_patches_decide_alone_and_always_alike(patches: Path) -> None:
    normals = PatchStore(patches, TRAIN)
    test = PatchStore(patches, TEST).read(0, 9)
    first, again = (PrincipalComponents.fit(normals).residual(test) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, first.round(6))
    with threadpool_limits(2):
        np.testing.assert_array_equal(PrincipalComponents.fit(normals).residual(test), first)
    assert PrincipalComponents.fit(normals).residual(test[:0]).shape == (0,)


def test_of_many_patches_those_that_are_fitted_are_spread_over_all(
    patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principal_components, "FIT_PATCHES", 3)
    normals = PatchStore(patches, TRAIN)
    rows = [0, (len(normals) - 1) // 2, len(normals) - 1]
    chosen = np.concatenate([normals.read(row, row + 1) for row in rows]).reshape(3, -1) / 255
    found = PrincipalComponents.fit(normals).pca.mean_
    np.testing.assert_allclose(found, chosen.mean(axis=0), atol=1e-6)
