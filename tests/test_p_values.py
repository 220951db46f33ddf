"""p-values are those of the definition, uniform for normals, and never too small."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.common.p_values import MAX_POINTS, RightTail

SOME = arrays(np.float64, st.integers(1, 60), elements=st.integers(-9, 9).map(float))


def by_definition(normals: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.array([(1 + (normals >= score).sum()) / (1 + len(normals)) for score in scores])


@given(SOME)
def test_of_a_normal_s_own_score_it_is_the_definition_s(normals: np.ndarray) -> None:
    tail = RightTail.of(normals)
    np.testing.assert_array_equal(tail.p_values(normals), by_definition(normals, normals))


@given(SOME, SOME)
def test_between_the_scores_of_normals_it_is_the_definition_s(
    normals: np.ndarray, scores: np.ndarray
) -> None:
    found = RightTail.of(normals).p_values(scores + 0.5)
    np.testing.assert_array_equal(found, by_definition(normals, scores + 0.5))


@settings(max_examples=10)
@given(st.integers(0, 99))
def test_of_many_normals_it_is_never_too_small_and_hardly_too_large(seed: int) -> None:
    generator = np.random.default_rng(seed)
    normals = generator.gamma(2, size=5000) * (generator.random(5000) < 0.3)  # most are 0
    scores = np.sort(generator.gamma(2, size=5000))
    tail, expected = RightTail.of(normals), by_definition(normals, scores)
    found = tail.p_values(scores)
    assert len(tail.scores) <= MAX_POINTS
    assert (found >= expected).all()
    assert (found <= 1.01 * expected).all()
    assert (np.diff(found) <= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("bags", "rate"), [(9, 0.2), (19, 0.1), (19, 0.05)])
def test_as_many_new_bags_alarm_as_were_asked_for(bags: int, rate: float) -> None:
    """Among few normals too, each of which moves the p-value by a step."""
    generator = np.random.default_rng(0)
    alarms = [
        RightTail.of(generator.random(bags)).p_values(generator.random(1))[0] <= rate
        for _ in range(4000)
    ]
    assert np.mean(alarms) == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / 4000))


def test_above_and_below_all_normals() -> None:
    tail = RightTail.of(np.arange(9.0))
    np.testing.assert_allclose(tail.p_values(np.array([-1, 0, 8, 8.1])), [1, 1, 0.2, 0.1])


def test_a_score_that_is_not_a_number_has_no_p_value() -> None:
    found = RightTail.of(np.arange(9.0)).p_values(np.array([np.nan, 8.0]))
    np.testing.assert_array_equal(found, [np.nan, 0.2])


def test_of_many_normals_the_tail_is_kept_whole_and_the_rest_nearly() -> None:
    normals = np.random.default_rng(0).normal(size=200_000)
    tail = RightTail.of(normals)
    assert len(tail.scores) <= MAX_POINTS
    assert (tail.count, tail.reached[0], tail.reached[-1]) == (200_000, 200_000, 1)
    highest = np.sort(normals)[-80:]
    np.testing.assert_allclose(tail.p_values(highest), by_definition(normals, highest))
    some = np.random.default_rng(1).normal(size=500)
    np.testing.assert_allclose(tail.p_values(some), by_definition(normals, some), rtol=0.02)


@pytest.mark.parametrize(
    ("count", "scores", "reached"), [(0, [], []), (2, [1, 1], [2, 1]), (2, [1, 2], [2, 2])]
)
def test_a_tail_that_is_empty_or_does_not_fall_is_refused(
    count: int, scores: list[int], reached: list[int]
) -> None:
    tail = RightTail(count, np.array(scores, np.float64), np.array(reached, np.float64))
    with pytest.raises(ValueError, match="a tail of scores that does not fall"):
        tail.validate()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_new_normals_have_uniform_p_values(share: float) -> None:
    generator = np.random.default_rng(2)
    tail = RightTail.of(generator.gamma(2, size=20_000))
    found = tail.p_values(generator.gamma(2, size=20_000))
    assert (found <= share).mean() == pytest.approx(share, abs=4 * np.sqrt(share / 20_000) * 1.5)
