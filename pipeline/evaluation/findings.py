"""Says in words what an evaluation found, beside the best score that needs no network."""

from collections.abc import Mapping

from pipeline.common.metrics import MIN_SCANS, percentile_interval, resampled_aucs
from pipeline.evaluation.auc_table import AucTable
from pipeline.evaluation.bag_metrics import BagMetrics
from pipeline.evaluation.scores import ANOMALY, OVERALL, PCA, WindowScores
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.settings.blocks import EvaluateSettings
from pipeline.settings.methods import GRANULOMETRY

BASELINES = (GRANULOMETRY, PCA, *TRIVIAL_SCORES)


def findings(table: AucTable, test: WindowScores, settings: EvaluateSettings) -> str:
    """Return a line on the AUC over all classes; "" if it is not defined.

    Two AUCs are called different if the interval of their difference is on one side of 0. The
    difference is paired: both AUCs are of the same resampled scans.
    """
    model = table[ANOMALY][OVERALL]
    if model.auc is None:
        return ""
    name, best = max(
        ((name, table[name][OVERALL]) for name in BASELINES if name in table),
        key=lambda row: row[1].auc or 0.0,
    )
    aucs = f"AUC of windows: the model {model}; {name} (no network) {best}"
    if model.scans < MIN_SCANS or best.auc is None:
        return f"{aucs}: there are too few scans to say which is better.\n"
    resampled, others = (
        resampled_aucs(
            test.scores[score], ~test.normal, test.scan_ids, settings.bootstrap, settings.seed
        )
        for score in (ANOMALY, name)
    )
    low, high = percentile_interval(resampled - others)
    not_worse = "the model is better" if low > 0 else "neither is shown to be better"
    verdict = "the model is worse" if high < 0 else not_worse
    difference = model.auc - best.auc
    return f"{aucs}: difference {difference:+.3f} [{low:+.3f} {high:+.3f}], {verdict}.\n"


def bag_findings(bags: Mapping[str, BagMetrics]) -> str:
    """Return a line on which bags are found and where; "" if the AUC of bags is not defined."""
    model = bags[ANOMALY] if bags else None
    if model is None or model.auc.auc is None:
        return ""
    name, best = max(
        ((name, bags[name].auc) for name in BASELINES if name in bags),
        key=lambda row: row[1].auc or 0.0,
    )
    return (
        f"AUC of bags: the model {model.auc}, without the windows on threats {model.control}; "
        f"{name} {best}. In {model.first_look[1]} of the bags with a threat, the first window to "
        "look at touches it.\n"
    )
