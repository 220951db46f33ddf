"""Says in words what an evaluation found, beside the best score that needs no model."""

from collections.abc import Mapping

from pipeline.common.metrics import AucEstimate
from pipeline.evaluation.bags import BagMetrics
from pipeline.evaluation.evaluate import ANOMALY, OVERALL, PCA, AucTable
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES


def findings(table: AucTable) -> str:
    """Return a line on the AUC over all classes; "" if it is not defined.

    Two AUCs are called different only if their intervals do not overlap.
    """
    model = table[ANOMALY][OVERALL]
    if model.auc is None:
        return ""
    name, best = max(
        ((name, table[name][OVERALL]) for name in (PCA, *TRIVIAL_SCORES)),
        key=lambda row: row[1].auc or 0.0,
    )
    return (
        f"By window: AUC {model}, {name}, which needs no model, {best}: {_compare(model, best)}.\n"
    )


def bag_findings(bags: Mapping[str, BagMetrics]) -> str:
    """Return a line on which bags are found and where; "" if the AUC of bags is not defined."""
    model = bags[ANOMALY] if bags else None
    if model is None or model.auc.auc is None:
        return ""
    name, best = max(
        ((name, bags[name].auc) for name in (PCA, *TRIVIAL_SCORES)),
        key=lambda row: row[1].auc or 0.0,
    )
    return (
        f"By bag: AUC {model.auc}, {name} {best}; the first window to look at is on the threat in "
        f"{model.first_look[1]} of the bags with one.\n"
    )


def _compare(model: AucEstimate, best: AucEstimate) -> str:
    if model.low is None or model.high is None or best.low is None or best.high is None:
        return "there are too few scans to say which is better"
    if model.low > best.high:
        return "the model is better"
    if model.high < best.low:
        return "on these scans the model is worse than no model"
    return "the intervals overlap, so neither is shown to be better"
