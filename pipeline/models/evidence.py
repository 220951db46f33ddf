"""One-sided evidence: terms of a window as p-values among training normals, fused to one score.

A term is a number that grows with suspicion. Its p-value is the share of training normals that
reach it (`pipeline.common.p_values`), which is uniform on normals, whatever the term's unit; so
terms can be added up. Low values of a term are no evidence, unlike in a distance from normals:
there, empty and soft windows are as strange as full ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Scores
from pipeline.common.p_values import RightTail

PValues = NDArray[np.float64]  # (T, N), of T terms and N windows


def fisher(p_values: PValues) -> Scores:
    """Return the mean of -log p, (N,).

    It is Fisher's statistic divided by 2 T (Statistical Methods for Research Workers, 1925).
    Brown's method for dependent terms (1975) changes its distribution, not its order.
    """
    return -np.log(p_values).mean(axis=0)


def harmonic(p_values: PValues) -> Scores:
    """Return -log of the harmonic mean of p, (N,) (Wilson, PNAS 2019): for dependent terms."""
    return np.log((1 / p_values).mean(axis=0))


def cauchy(p_values: PValues) -> Scores:
    """Return the mean of tan((1/2 - p) pi), (N,) (Liu and Xie, JASA 2020): for dependent terms."""
    return np.tan((0.5 - p_values) * np.pi).mean(axis=0)


RULES: Mapping[str, Callable[[PValues], Scores]] = {
    "fisher": fisher,
    "harmonic": harmonic,
    "cauchy": cauchy,
}


@dataclass(frozen=True)
class Evidence:
    """The tails of terms among training normals.

    Attributes:
        tails: by the term's name.
    """

    tails: Mapping[str, RightTail]

    @classmethod
    def of(cls, terms: Mapping[str, Scores]) -> "Evidence":
        """Return the tails of terms (N,) of training normals."""
        return cls({name: RightTail.of(values) for name, values in terms.items()})

    def p_values(self, terms: Mapping[str, Scores]) -> dict[str, Scores]:
        """Return the p-value of each term (N,) that has a tail."""
        return {name: tail.p_values(terms[name]) for name, tail in self.tails.items()}

    def score(self, terms: Mapping[str, Scores], rule: str) -> Scores:
        """Return the fused score of terms, (N,); higher is more suspicious."""
        return RULES[rule](np.stack(list(self.p_values(terms).values())))
