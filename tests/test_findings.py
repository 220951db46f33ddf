"""The words after an evaluation."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.common.metrics import AucEstimate, RateEstimate
from pipeline.evaluation.auc_table import auc_table
from pipeline.evaluation.bag_metrics import BagMetrics
from pipeline.evaluation.findings import BASELINES, bag_findings, findings
from pipeline.evaluation.scores import ANOMALY, PCA, WindowScores
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.settings.blocks import EvaluateSettings
from pipeline.settings.methods import GRANULOMETRY

METAL = AucEstimate(0.7, 0.65, 0.75, normal=90, abnormal=10, scans=9)
SETTINGS = EvaluateSettings(bootstrap=200)
LABELS = np.tile(["normal", "gun"], 60)
SCANS = np.repeat(np.arange(12).astype(str), 10)


def scored(*, strong: str = "", scans: int = 12) -> WindowScores:
    """Scores of which one is right about most windows, and the others are about chance."""
    rng = np.random.default_rng(0)
    kept = SCANS.astype(int) < scans
    scores = {name: rng.normal(size=120)[kept] for name in (ANOMALY, *BASELINES)}
    if strong:
        scores[strong] += 2 * (LABELS[kept] == "gun")
    return WindowScores(LABELS[kept], SCANS[kept], scores)


def said(test: WindowScores) -> str:
    table = auc_table(test, ("gun",), SETTINGS.bootstrap, SETTINGS.seed)
    return findings(table, test, SETTINGS)


@pytest.mark.parametrize(
    ("strong", "named", "verdict"),
    [
        (ANOMALY, "", "the model is better"),
        ("metal_amount", "metal_amount", "the model is worse"),
        (GRANULOMETRY, GRANULOMETRY, "the model is worse"),
        ("", "", "neither is shown to be better"),
    ],
)
def test_the_model_is_compared_with_the_best_score_without_a_network(
    strong: str, named: str, verdict: str
) -> None:
    test = scored(strong=strong)
    found = said(test)
    assert found.endswith(f", {verdict}.\n")
    aucs = {n: roc_auc_score(LABELS == "gun", values) for n, values in test.scores.items()}
    best = max(BASELINES, key=lambda name: aucs[name])
    assert not named or best == named
    assert f"the model {aucs[ANOMALY]:.3f} [" in found
    assert f"; {best} (no network) {aucs[best]:.3f} [" in found
    assert f"difference {aucs[ANOMALY] - aucs[best]:+.3f} [" in found


def test_the_interval_of_the_difference_is_of_the_same_resamples() -> None:
    """Of two scores that differ by a constant there is no difference, whatever their intervals."""
    test = scored(strong=ANOMALY)
    same = {**test.scores, PCA: test.scores[ANOMALY] + 1}
    found = said(WindowScores(test.labels, test.scan_ids, same))
    assert found.endswith("difference +0.000 [+0.000 +0.000], neither is shown to be better.\n")


def test_the_difference_is_of_the_seed_of_the_settings() -> None:
    test = scored(strong=ANOMALY)
    table = auc_table(test, ("gun",), SETTINGS.bootstrap, SETTINGS.seed)
    seeded = (replace(SETTINGS, seed=seed) for seed in (0, 1))
    assert len({findings(table, test, settings) for settings in seeded}) == 2


def test_of_few_scans_nothing_is_said() -> None:
    assert said(scored(scans=3)).endswith("there are too few scans to say which is better.\n")
    test = scored()
    normal = WindowScores(np.full(120, "normal"), test.scan_ids, test.scores)
    assert said(normal) == ""


def test_bags_are_compared_with_the_best_score_without_a_network() -> None:
    assert bag_findings({}) == ""
    names = (ANOMALY, PCA, *TRIVIAL_SCORES)
    places = {name: RateEstimate(index / 10, 0, 1, 8) for index, name in enumerate(names)}
    bags = {
        name: BagMetrics(
            auc=METAL if name == "metal_amount" else replace(METAL, auc=0.5),
            control=replace(METAL, auc=0.45),
            detection_rate=places[name],
            false_alarm_rate=places[name],
            first_look={1: RateEstimate(0.25, 0.1, 0.4, 8), 3: places[PCA]},
            within_bag_auc=places[name],
            pixel_average_precision=places[name],
        )
        for name in names
    }
    assert bag_findings(bags) == (
        "AUC of bags: the model 0.500 [0.650 0.750], without the windows on threats 0.450 [0.650 "
        "0.750]; metal_amount 0.700 [0.650 0.750]. In 0.250 [0.100 0.400] of the bags with a "
        "threat, the first window to look at touches it.\n"
    )
    undefined = replace(bags[ANOMALY], auc=AucEstimate(None, None, None, 9, 0, 0))
    assert bag_findings({**bags, ANOMALY: undefined}) == ""
