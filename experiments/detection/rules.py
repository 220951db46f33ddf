"""Rules that fuse the p-values of terms to one score; the method granulometry has Fisher's."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import Scores
from pipeline.common.p_values import RightTail

TermPValues = NDArray[np.float64]  # (T, N), of T terms and N windows


def p_values(normals: Mapping[str, Scores], judged: Mapping[str, Scores]) -> dict[str, Scores]:
    """Return the p-values of terms (N,) among those of training normals (M,), by term."""
    return {name: RightTail.of(values).p_values(judged[name]) for name, values in normals.items()}


def fisher(p_values: TermPValues) -> Scores:
    """Return the mean of -log p, (N,) (Fisher 1925); Brown's rule (1975) has the same order."""
    return -np.log(p_values).mean(axis=0)


def harmonic(p_values: TermPValues) -> Scores:
    """Return -log of the harmonic mean of p, (N,) (Wilson, PNAS 2019): for dependent terms."""
    return np.log((1 / p_values).mean(axis=0))


RULES: Mapping[str, Callable[[TermPValues], Scores]] = {"fisher": fisher, "harmonic": harmonic}
