"""p-values of scores: how rare a score is among those of a sample of normals.

The p-value of a score is (1 + k) / (1 + n), if k of n normals have this score or a higher one. It
is uniform for one more normal that is drawn like the others, whatever the distribution, and never 0
(the conformal p-value of Vovk, Gammerman and Shafer, 2005).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.common.names import PValues, Scores

MAX_POINTS = 1024  # of a tail that are kept


@dataclass(frozen=True)
class RightTail:
    """The right tail of n normals' scores: their empirical survival function, times n.

    Attributes:
        count: n.
        scores: (K,) scores of normals, ascending and distinct.
        reached: (K,) an upper bound on the number of normals with each score or a higher one, n
            down to 1; their exact number if no score was dropped between it and the one before.
    """

    count: int
    scores: Scores
    reached: NDArray[np.float64]

    @classmethod
    def of(cls, scores: Scores) -> "RightTail":
        """Keep the tail of (n,) scores.

        Of more than `MAX_POINTS` distinct scores about that many are kept: all of the highest,
        and ever fewer below them, in geometric steps.
        """
        distinct, counts = np.unique(scores, return_counts=True)
        reached = counts[::-1].cumsum()[::-1]
        if len(distinct) > MAX_POINTS:
            steps = np.geomspace(1, len(scores), MAX_POINTS)
            kept = np.unique(np.searchsorted(-reached, -steps, side="right") - 1)
            above = np.append(len(scores), (reached - counts)[kept[:-1]])
            distinct, reached = distinct[kept], above
        return cls(len(scores), distinct, reached.astype(np.float64))

    def validate(self) -> None:
        """Compare the parts with each other, as they may be from a damaged file.

        Raises:
            ValueError: they are no tail.
        """
        floats = all(part.dtype == np.float64 for part in (self.scores, self.reached))
        if not (
            type(self.count) is int
            and floats
            and self.scores.shape == self.reached.shape == (len(self.scores),)
            and len(self.scores) > 0
            and np.isfinite(self.scores).all()
            and (np.diff(self.scores) > 0).all()
            and (np.diff(self.reached) < 0).all()
            and 1 <= self.reached[-1] <= self.reached[0] == self.count
        ):
            raise ValueError("a tail of scores that does not fall from all normals to one")

    def p_values(self, scores: Scores) -> PValues:
        """Return the p-values of (N,) scores, 1 / (n + 1) to 1.

        Where no score was dropped they are those of the definition. Elsewhere the normals between
        two kept scores all count, so a p-value is never too small, and too large by less than a
        step of the scores that are kept: n^(1/1023), 0.8% for 4,096 normals. A NaN score gives NaN.
        """
        reached = np.append(self.reached, 0)[np.searchsorted(self.scores, scores)]
        reached[np.isnan(scores)] = np.nan
        return np.asarray((1 + reached) / (1 + self.count))
