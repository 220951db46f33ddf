"""The head: a logistic regression on -log p of the features, taught by a few labelled bags."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

INVERSE_REGULARISATION = 0.1  # of the logistic regression, on standardised inputs
MAX_STEPS = 2000


def fit(
    neg_log_p: NDArray[np.float64], abnormal: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Return weights (d,) and a bias: neg_log_p @ weights + bias is the log-odds of a threat.

    The inputs are standardised for the fit alone: the returned weights are for the raw inputs.

    Args:
        neg_log_p: -log p of each feature of N windows, (N, d), in nats.
        abnormal: (N,) True where a window has a threat; both True and False occur.
    """
    scaler = StandardScaler().fit(neg_log_p)
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_STEPS)
    model.fit(scaler.transform(neg_log_p), abnormal)
    weights = model.coef_[0] / scaler.scale_
    return weights, float(model.intercept_[0] - weights @ scaler.mean_)
