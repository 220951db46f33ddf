"""The words after an evaluation."""

from dataclasses import replace

import pytest

from pipeline.common.metrics import AucEstimate, RateEstimate
from pipeline.evaluation.bags import BagMetrics
from pipeline.evaluation.evaluate import ANOMALY, OVERALL, PCA
from pipeline.evaluation.findings import bag_findings, findings
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES

METAL = AucEstimate(0.7, 0.65, 0.75, normal=90, abnormal=10, scans=9)


def said(model: AucEstimate, metal: AucEstimate = METAL) -> str:
    others = {name: replace(metal, auc=0.5) for name in (PCA, *TRIVIAL_SCORES)}
    table = {ANOMALY: model, **others, "metal_amount": metal}
    return findings({name: {OVERALL: estimate} for name, estimate in table.items()})


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.76, 0.9, "the model is better"),
        (0.5, 0.64, "on these scans the model is worse than no model"),
        (0.74, 0.9, "the intervals overlap, so neither is shown to be better"),
        (0.5, 0.66, "the intervals overlap, so neither is shown to be better"),
        (None, None, "there are too few scans to say which is better"),
    ],
)
def test_the_model_is_compared_with_the_best_score_without_one(
    low: float | None, high: float | None, verdict: str
) -> None:
    model = AucEstimate(0.6, low, high, normal=90, abnormal=10, scans=9)
    best = "metal_amount, which needs no model, 0.700 [0.650 0.750]"
    assert said(model) == f"By window: AUC {model}, {best}: {verdict}.\n"


def test_without_an_auc_nothing_is_said() -> None:
    assert said(AucEstimate(None, None, None, normal=90, abnormal=0, scans=0)) == ""


def test_bags_are_compared_with_the_best_score_without_a_model() -> None:
    assert bag_findings({}) == ""
    names = (ANOMALY, PCA, *TRIVIAL_SCORES)
    places = {name: RateEstimate(index / 10, 0, 1, 8) for index, name in enumerate(names)}
    bags = {
        name: BagMetrics(
            auc=METAL if name == "metal_amount" else replace(METAL, auc=0.5),
            found=places[name],
            false_alarms=places[name],
            first_look={1: RateEstimate(0.25, 0.1, 0.4, 8), 3: places[PCA]},
            within=places[name],
            pixels=places[name],
        )
        for name in names
    }
    assert bag_findings(bags) == (
        "By bag: AUC 0.500 [0.650 0.750], metal_amount 0.700 [0.650 0.750]; the first window to "
        "look at is on the threat in 0.250 [0.100 0.400] of the bags with one.\n"
    )
    undefined = replace(bags[ANOMALY], auc=AucEstimate(None, None, None, 9, 0, 0))
    assert bag_findings({**bags, ANOMALY: undefined}) == ""
