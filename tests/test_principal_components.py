from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.common.names import TEST, TRAIN
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
