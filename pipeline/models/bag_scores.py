"""Scores of whole bags, from the p-values of their windows among validation normals.

A bag's score is a statistic of its smallest p-values. The bag's p-value is the share of validation
bags with this score or a higher one, so a false-alarm rate of bags can be chosen.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.common.names import PValues, Scores
from pipeline.common.p_values import RightTail

TOP = 5  # number of windows that a bag's score averages


def rows_by_scan(scan_ids: NDArray[np.str_]) -> dict[str, NDArray[np.intp]]:
    """Return the rows of each scan in (N,) scan ids, ascending; the scans are sorted by id."""
    order = np.argsort(scan_ids, kind="stable")
    names, starts = np.unique(scan_ids[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True)) if len(names) else {}


def bag_score(p_values: PValues) -> float:
    """Return a bag's score: the mean of -log p over the `TOP` windows with the smallest p-values.

    A bag without windows is the least suspicious: 0.
    """
    smallest = np.sort(p_values)[:TOP]
    return float(-np.log(smallest).mean()) if len(smallest) else 0.0


def least_rate(validation_bags: int) -> float:
    """Return the lowest false-alarm rate of bags at which a bag can raise an alarm."""
    return 1 / (validation_bags + 1)


def rounded_up(rate: float) -> str:
    """Return a rate with three digits, rounded up, so that the rate as shown can be kept."""
    return f"{math.ceil(1000 * rate) / 1000:.3f}"


@dataclass(frozen=True)
class Tails:
    """The tails of one score on validation scans.

    Attributes:
        windows: of the normal windows' scores.
        bags: of the bags' scores, with their windows on ignored objects.
    """

    windows: RightTail
    bags: RightTail

    @classmethod
    def of(
        cls, scores: Scores, scan_ids: NDArray[np.str_], normal: NDArray[np.bool_] | None = None
    ) -> "Tails":
        """Return the tails of (N,) scores of windows of the validation scans `scan_ids`.

        `normal`, (N,), is False for windows on ignored objects; by default all windows are normal.
        """
        windows = RightTail.of(scores if normal is None else scores[normal])
        p_values = windows.p_values(scores)
        bags = [bag_score(p_values[rows]) for rows in rows_by_scan(scan_ids).values()]
        return cls(windows, RightTail.of(np.array(bags)))

    def to_tensors(self) -> dict[str, Any]:
        """Return the tails as tensors and numbers, for a model's file."""
        return {
            name: {
                "count": tail.count,
                "scores": torch.from_numpy(tail.scores),
                "reached": torch.from_numpy(tail.reached),
            }
            for name, tail in vars(self).items()
        }

    @classmethod
    def from_tensors(cls, content: dict[str, Any]) -> "Tails":
        """Return the tails of `to_tensors`, which may be damaged.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: they are no tails.
        """
        windows, bags = (
            RightTail(tail["count"], tail["scores"].numpy(), tail["reached"].numpy())
            for tail in (content["windows"], content["bags"])
        )
        windows.validate()
        bags.validate()
        return cls(windows, bags)
