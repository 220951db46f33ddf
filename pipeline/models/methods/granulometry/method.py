"""Granulometry for scoring: p-values of 32 features among training normals, by Fisher's rule.

A few labelled bags may teach a score instead of Fisher's rule (`model.head`): log-odds, by a
logistic regression on the same p-values (`head`).

An object that is added to a bag can only take transmission away. So a feature of a window grows
with what the window absorbs, and only high values of it are evidence. In a distance from normals,
low values count as well: there, empty and soft windows are as strange as full ones.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.common.names import PValues
from pipeline.common.p_values import RightTail
from pipeline.models.attenuation import MAPS, attenuation_maps
from pipeline.models.gan import Gan
from pipeline.models.interface import Method, Scorer
from pipeline.models.methods.granulometry.openings import RADII, STATISTICS, granulometry
from pipeline.models.nets import NetShape
from pipeline.models.pixels import to_patches
from pipeline.settings.model import LossSettings, ModelSettings

SHAPE = (len(MAPS), len(STATISTICS), len(RADII))  # of a window's features
FEATURES = prod(SHAPE)

LABELLED = "labelled"  # the name of the head's term


class GranulometryScorer(Scorer):
    """Scorer with A = the mean of -log p over all features, or the head's log-odds of a threat.

    p is the share of training normals that reach a feature (`pipeline.common.p_values`), which is
    uniform on normals whatever the feature's unit, so that -log p can be added up. The mean of
    -log p is Fisher's statistic divided by two times the number of features (Statistical Methods
    for Research Workers, 1925); that the features depend on each other changes its distribution,
    which nobody uses here, and not its order (Brown, Biometrics 1975).
    """

    def __init__(self, _networks: Mapping[str, nn.Module], settings: ModelSettings) -> None:
        super().__init__()
        fishers = dict.fromkeys(MAPS, 1 / len(MAPS))
        self.weights = {LABELLED: 1.0} if settings.head == "labelled" else fishers
        self.tails: list[RightTail] = []

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return the mean of -log p over the features of each map, or the head's log-odds."""
        neg_log_p = self.neg_log_p(self.features(x))
        if self.head is None:
            means = neg_log_p.reshape(len(x), *SHAPE).mean(axis=(2, 3))
            return dict(zip(MAPS, torch.from_numpy(means.T).to(x.device), strict=True))
        *weights, bias = self.head.numpy()
        # Each row is summed by itself, so a window's score does not depend on its batch.
        log_odds = (neg_log_p * weights).sum(axis=1) + bias
        return {LABELLED: torch.from_numpy(log_odds).to(x.device)}

    def features(self, x: Tensor) -> Tensor:
        """Return the features of patches, (N, maps x statistics x radii), from 0 to 1."""
        features = granulometry(attenuation_maps(to_patches(x)))
        return torch.from_numpy(features.reshape(len(x), FEATURES)).to(x.device)

    def explain(self, x: Tensor) -> list[str]:
        """Say which feature of each patch adds most to its score.

        By Fisher's rule it is the rarest feature among training normals, and with a head the one
        with the highest product of -log p and weight. "" if no feature adds to the score.
        """
        p_values = self.p_values(self.features(x).cpu().numpy())
        weights = 1.0 if self.head is None else self.head[:-1].numpy()
        added = -np.log(p_values) * weights
        # Of features that add the same the last, which is the densest and thickest.
        most = FEATURES - 1 - added[:, ::-1].argmax(axis=1)
        return [
            self._words(int(row), p[row]) if adds[row] > 0 else ""
            for row, p, adds in zip(most, p_values, added, strict=True)
        ]

    def _words(self, feature: int, p_value: float) -> str:
        map_index, statistic, radius = np.unravel_index(feature, SHAPE)
        thick = f" at least {2 * RADII[radius] + 1} pixels thick" * (RADII[radius] > 0)
        degree = {"mean": "more", "max": "denser"}[STATISTICS[statistic]]
        normals = self.tails[feature].count
        below = int(1000 * (1 - p_value)) / 10  # cut off, so that it is never 100
        share = f"{below}% of" if p_value > 1.5 / (1 + normals) else f"all {normals}"
        return f"{MAPS[map_index]}{thick}: {degree} than in {share} normal windows"

    def neg_log_p(self, features: Tensor) -> NDArray[np.float64]:
        """Return -log p of each feature, (N, d), of the features of N patches, in nats."""
        return -np.log(self.p_values(features.cpu().numpy()))

    def p_values(self, features: NDArray[np.float32]) -> PValues:
        """Return the p-value of each feature, (N, d), of the features of N patches."""
        columns = zip(self.tails, features.T, strict=True)
        return np.stack([tail.p_values(column) for tail, column in columns], axis=1)

    def fit(self, normals: Iterable[Tensor]) -> None:
        """Keep the features of training normals."""
        self.set_reference(torch.cat([self.features(x) for x in normals]))

    def set_reference(self, normals: Tensor) -> None:
        """Take the tails of the features of training normals, (M, d)."""
        super().set_reference(normals)
        self.tails = [RightTail.of(column) for column in normals.cpu().numpy().T]

    def fit_head(self, labelled: Iterable[Tensor], abnormal: NDArray[np.bool_]) -> None:
        """Learn the log-odds of a threat; the training normals are normal windows, too."""
        assert self.normals is not None
        features = torch.cat([self.normals, *(self.features(x) for x in labelled)])
        kinds = np.concatenate([np.zeros(len(self.normals), dtype=np.bool_), abnormal])
        # scikit-learn takes 1.5 seconds to import, and is not needed to score.
        head = import_module("pipeline.models.methods.granulometry.head")
        weights, bias = head.fit(self.neg_log_p(features), kinds)
        self.head = torch.from_numpy(np.append(weights, bias))


def build_networks(_shape: NetShape, _seed: int) -> dict[str, nn.Module]:
    """Return no networks."""
    return {}


def train_step(_gan: Gan, _x: Tensor, _settings: LossSettings) -> dict[str, Tensor]:
    """Update nothing: there is no loss."""
    return {}


METHOD = Method(build_networks, train_step, GranulometryScorer, lambdas={})
