"""The head: a logistic regression on a window's evidence, taught by a few labelled bags."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

INVERSE_REGULARISATION = 0.1  # of the logistic regression, on standardised evidence
MOST_STEPS = 2000


def fit(
    evidence: NDArray[np.float64], abnormal: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Return weights (d,) and a bias: evidence @ weights + bias is the log-odds of a threat.

    Evidence is standardised for the fit alone: the weights are those of the evidence as it is.

    Args:
        evidence: -log p of each term of N windows, (N, d), in nats.
        abnormal: (N,) True where a window has a threat; of both kinds.
    """
    scaler = StandardScaler().fit(evidence)
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MOST_STEPS)
    model.fit(scaler.transform(evidence), abnormal)
    weights = model.coef_[0] / scaler.scale_
    return weights, float(model.intercept_[0] - weights @ scaler.mean_)
