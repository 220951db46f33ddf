"""p-values are those of the definition, uniform for normals, and never too small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.common.p_values import MOST_POINTS, RightTail

SOME = arrays(np.float64, st.integers(1, 60), elements=st.integers(-9, 9).map(float))


def by_definition(normals: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.array([(1 + (normals >= score).sum()) / (1 + len(normals)) for score in scores])


@given(SOME)
def test_of_a_normal_s_own_score_it_is_the_definition_s(normals: np.ndarray) -> None:
    tail = RightTail.of(normals)
    np.testing.assert_allclose(tail.p_values(normals), by_definition(normals, normals))


@given(SOME, SOME)
def test_it_is_never_too_small_and_never_rises_with_the_score(
    normals: np.ndarray, scores: np.ndarray
) -> None:
    scores = np.sort(scores + 0.5)
    found = RightTail.of(normals).p_values(scores)
    assert (found >= by_definition(normals, scores) - 1e-12).all()
    assert (np.diff(found) <= 0).all()


def test_above_and_below_all_normals() -> None:
    tail = RightTail.of(np.arange(9.0))
    np.testing.assert_allclose(tail.p_values(np.array([-1, 0, 8, 8.1])), [1, 1, 0.2, 0.1])


def test_of_many_normals_the_tail_is_kept_whole_and_the_rest_nearly() -> None:
    normals = np.random.default_rng(0).normal(size=200_000)
    tail = RightTail.of(normals)
    assert len(tail.scores) <= MOST_POINTS
    assert (tail.count, tail.reached[0], tail.reached[-1]) == (200_000, 200_000, 1)
    highest = np.sort(normals)[-80:]
    np.testing.assert_allclose(tail.p_values(highest), by_definition(normals, highest))
    some = np.random.default_rng(1).normal(size=500)
    np.testing.assert_allclose(tail.p_values(some), by_definition(normals, some), rtol=0.02)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_new_normals_have_uniform_p_values(share: float) -> None:
    generator = np.random.default_rng(2)
    tail = RightTail.of(generator.gamma(2, size=20_000))
    found = tail.p_values(generator.gamma(2, size=20_000))
    assert (found <= share).mean() == pytest.approx(share, abs=4 * np.sqrt(share / 20_000) * 1.5)
