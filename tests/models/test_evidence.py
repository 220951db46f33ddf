"""Evidence: p-values of terms, and the rules that fuse them, against scipy's."""

import numpy as np
import pytest
from scipy import stats

from pipeline.models.evidence import RULES, Evidence, cauchy, fisher, harmonic


def drawn(count: int, seed: int) -> dict[str, np.ndarray]:
    """Terms of normals, in units and shapes that have nothing in common."""
    rng = np.random.default_rng(seed)
    return {"small": rng.exponential(1e-3, count), "large": 1e3 * rng.normal(size=count)}


def test_p_values_of_new_normals_are_uniform() -> None:
    found = Evidence.of(drawn(4000, 0)).p_values(drawn(2000, 1))
    for name, values in found.items():
        assert stats.kstest(values, "uniform").pvalue > 0.01, name


def test_only_high_values_are_evidence() -> None:
    evidence = Evidence.of(drawn(1000, 0))
    judged = {"small": np.array([0.0, 1.0, 0.0]), "large": np.array([-1e6, -1e6, 1e6])}
    p_values = evidence.p_values(judged)
    assert p_values["small"].tolist() == [1, 1 / 1001, 1]
    assert p_values["large"].tolist() == [1, 1, 1 / 1001]
    for rule in RULES:
        low, first, second = evidence.score(judged, rule)
        assert low < first == pytest.approx(second), rule


def test_the_unit_of_a_term_does_not_count() -> None:
    normals, judged = drawn(500, 0), drawn(50, 1)
    scaled = [{**terms, "large": 7 * terms["large"] + 3} for terms in (normals, judged)]
    for rule in RULES:
        np.testing.assert_allclose(
            Evidence.of(normals).score(judged, rule),
            Evidence.of(scaled[0]).score(scaled[1], rule),
        )


def test_rules_against_scipy() -> None:
    p_values = np.random.default_rng(2).uniform(1e-4, 1, (5, 20))
    for column, row in zip(fisher(p_values), p_values.T, strict=True):
        assert 2 * 5 * column == pytest.approx(stats.combine_pvalues(row, "fisher").statistic)
    np.testing.assert_allclose(harmonic(p_values), -np.log(stats.hmean(p_values, axis=0)))
    np.testing.assert_allclose(
        stats.cauchy.sf(cauchy(p_values)),
        [stats.cauchy.sf(stats.cauchy.isf(row).mean()) for row in p_values.T],
    )


def test_a_term_without_a_tail_does_not_count() -> None:
    normals = drawn(100, 0)
    evidence = Evidence.of({"small": normals["small"]})
    assert set(evidence.p_values(normals)) == {"small"}
