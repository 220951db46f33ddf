"""Scores the test split with a trained model and with scores that need no model; AUC of each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from pipeline.common import terminal
from pipeline.common.metrics import AucEstimate, auc_by_scan
from pipeline.common.names import NORMAL, Patches, Scores
from pipeline.common.tables import text_table
from pipeline.evaluation.principal_components import PrincipalComponents
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.models.detector import Detector, fitted_detector
from pipeline.models.neighbours import MOST_NORMALS
from pipeline.models.nets import NetShape
from pipeline.models.trained_model import Calibration
from pipeline.patches.store import PatchSource, PatchStore, read_rows, spread
from pipeline.settings.methods import GRANULOMETRY
from pipeline.settings.model import ModelSettings

OVERALL = "overall"
ANOMALY = "anomaly_score"
PCA = "pca"
SECTIONS = {
    GRANULOMETRY: "-- without a network, without labels",
    PCA: "-- without any model",
}  # in tables
CURVE_POINTS = 200  # of a ROC curve in a plot file
BINS = 50

AucTable = dict[str, dict[str, AucEstimate]]  # by score, then by class


@dataclass(frozen=True)
class WindowScores:
    """All scores of the N patches of a split, (N,) each.

    Attributes:
        labels: class names, `normal` among them.
        scan_ids: the scan of each patch.
        scores: by name, higher means more abnormal; the anomaly score is scaled (Equation 6).
    """

    labels: NDArray[np.str_]
    scan_ids: NDArray[np.str_]
    scores: dict[str, Scores]

    @property
    def normal(self) -> NDArray[np.bool_]:
        """Boolean mask (N,), True where a patch is normal."""
        return np.asarray(self.labels == NORMAL)

    @property
    def only_normal(self) -> bool:
        """Whether there are windows, and all of them are normal."""
        return len(self.labels) > 0 and bool(self.normal.all())

    def abnormal(self, class_name: str) -> NDArray[np.bool_]:
        """Return a mask (N,), True on patches of the class; `overall` is any abnormal class."""
        return ~self.normal if class_name == OVERALL else np.asarray(self.labels == class_name)


@dataclass(frozen=True)
class EveryScore:
    """Scores patches with the model, and with the scores that need no model.

    Attributes:
        detector: the model.
        calibration: scales the model's anomaly score (Equation 6).
        components: principal components of training normals, for the score `pca`.
        without_networks: the method without networks or labels, for a row of its own; None if it is
            the model.
    """

    detector: Detector
    calibration: Calibration
    components: PrincipalComponents
    without_networks: Detector | None = None

    def __call__(self, patches: Patches) -> dict[str, Scores]:
        """Return each score of patches (N, H, W, C), (N,), by its name."""
        found, other = self.detector.score([patches]), self.without_networks
        return {
            ANOMALY: self.calibration.scale(found.anomaly),
            **found.terms,
            **({GRANULOMETRY: other.score([patches]).anomaly} if other else {}),
            PCA: self.components.residual(patches),
            **{name: score(patches) for name, score in TRIVIAL_SCORES.items()},
        }


def detector_without_networks(normals: PatchSource) -> Detector:
    """Return the method that has no networks, fitted to training normals."""
    settings = ModelSettings(
        ngf=1, ndf=1, learning_rate=1, score_lambda=0, method=GRANULOMETRY
    )  # no network has these sizes
    shape = NetShape(normals.side, normals.channels, ngf=1, ndf=1, latent_dim=1)
    rows = spread(np.arange(len(normals)), MOST_NORMALS)
    return fitted_detector(shape, {}, settings, [read_rows(normals, rows)])


def score_store(store: PatchStore, every: EveryScore) -> WindowScores:
    """Score all patches of a store."""
    none = np.empty((0, store.side, store.side, store.channels), dtype=np.uint8)
    parts = [every(none)]
    with terminal.progress("scores", len(store), "window") as shown:
        for block in store.blocks():
            parts.append(every(block))
            shown.update(len(block))
    scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return WindowScores(store.labels, store.scan_ids, scores)


def without_model(store: PatchSource, normals: PatchSource) -> dict[str, Scores]:
    """Return the scores that need no model; the score `pca` is fitted on `normals`."""
    components = PrincipalComponents.fit(normals)
    residual = _joined(components.residual(block) for block in store.blocks())
    return {PCA: residual, **_trivial(store.blocks())}


def auc_table(test: WindowScores, classes: tuple[str, ...], samples: int, seed: int) -> AucTable:
    """Return the AUC of each score for each class and overall, against all normal test patches."""
    return {
        score: {name: _auc(test, score, name, samples, seed) for name in (*classes, OVERALL)}
        for score in test.scores
    }


def metrics_of(table: AucTable, test: WindowScores) -> dict[str, Any]:
    """Return the content of details.json, except the alarms; None where a metric is undefined."""
    return {
        "auc": {name: estimate.auc for name, estimate in table[ANOMALY].items()},
        "interval": {
            name: {"low": estimate.low, "high": estimate.high}
            for name, estimate in table[ANOMALY].items()
        },
        "scans": {name: estimate.scans for name, estimate in table[ANOMALY].items()},
        "windows": {name: estimate.abnormal for name, estimate in table[ANOMALY].items()}
        | {NORMAL: int(test.normal.sum())},
        "other": {
            score: {name: estimate.auc for name, estimate in row.items()}
            for score, row in table.items()
            if score != ANOMALY
        },
    }


def key_metrics(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of metrics.json: the metrics of `details` that runs are compared by."""
    other = details["other"]
    without_model = [other[name][OVERALL] for name in (PCA, *TRIVIAL_SCORES) if name in other]
    at = details["threshold"]
    bags = details["bags"].get(ANOMALY, {})
    return {
        "auc": details["auc"],
        "best_auc_without_model": max((v for v in without_model if v is not None), default=None),
        "false_alarm_rate": at["false_alarm_rate"],
        "detection_rate": at["detection_rate"][OVERALL],
        **(
            {
                "bag_auc": bags["auc"]["auc"],
                "bag_auc_control": bags["control"]["auc"],
                "first_look": bags["first_look_1"]["rate"],
                "auc_within_bags": bags["within"]["rate"],
            }
            if bags
            else {}
        ),
    }


def unmeasurable(test: WindowScores, classes: tuple[str, ...]) -> str:
    """Return why no AUC is defined on the test split, in one line; "" if an AUC is defined."""
    if len(test.labels) == 0:
        return "no window in the test split (scans.test_normal): nothing to measure"
    if test.normal.all():
        scans = "window in the test split" if classes else "scan"
        return f"no abnormal {scans}: nothing to measure"
    if not test.normal.any():
        return "no normal window in the test split (scans.test_normal): nothing to measure"
    return ""


def auc_text(table: AucTable, test: WindowScores, heading: str) -> str:
    """Return `estimates_text` with a heading, and the numbers of normal windows and test scans."""
    scans = len(np.unique(test.scan_ids))
    first, *more = heading.split("\n")
    first += f": {scans} test scans, {int(test.normal.sum())} normal windows"
    return "\n".join([first, *more, estimates_text(table)])


def estimates_text(table: AucTable) -> str:
    """Return a text table: a row per score, a column per class, the number of windows last."""
    rows: list[Sequence[object]] = []
    for score, row in table.items():
        if score in SECTIONS:
            rows.append([SECTIONS[score]])
        rows.append([score, *row.values()])
    estimates = next(iter(table.values()))
    rows.append(["windows", *(estimate.abnormal for estimate in estimates.values())])
    return text_table(["AUC", *estimates], rows)


def roc(normal: Scores, abnormal: Scores) -> tuple[Scores, Scores]:
    """Return false and true positive rates, from (0, 0) to (1, 1); neither array may be empty."""
    labels = np.repeat([0, 1], [len(normal), len(abnormal)])
    false_positive, true_positive, _ = roc_curve(labels, np.concatenate([normal, abnormal]))
    return false_positive, true_positive


def roc_rows(test: WindowScores, classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield ROC curves of the anomaly score, a row per point; none for a class without windows."""
    scores = test.scores[ANOMALY]
    for name in (*classes, OVERALL):
        abnormal = test.abnormal(name)
        if not abnormal.any() or not test.normal.any():
            continue
        false_positive, true_positive = roc(scores[test.normal], scores[abnormal])
        grid = np.linspace(0, 1, CURVE_POINTS)
        for x, y in zip(grid, np.interp(grid, false_positive, true_positive), strict=True):
            yield {"class": name, "false_positive_rate": float(x), "true_positive_rate": float(y)}


def histogram_rows(test: WindowScores) -> Iterator[dict[str, Any]]:
    """Yield Figure 5 as rows: density of the scaled anomaly score, normal and abnormal patches."""
    scores = test.scores[ANOMALY]
    edges = np.histogram_bin_edges(scores, BINS)
    for name, mask in ((NORMAL, test.normal), ("abnormal", ~test.normal)):
        if not mask.any():
            continue
        density, _ = np.histogram(scores[mask], edges, density=True)
        for left, right, value in zip(edges, edges[1:], density, strict=False):
            middle = float((left + right) / 2)
            yield {"class": name, "anomaly_score": middle, "density": float(value)}


def flat_metrics(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    """Flatten nested metrics to names such as ``auc/knife``, which MLflow's pages group."""
    flat: dict[str, float | None] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flat_metrics(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def estimate_rows(table: AucTable) -> list[dict[str, Any]]:
    """Return the AUC table as rows of a CSV file."""
    return [
        {"score": score, "class": name, **asdict(estimate)}
        for score, row in table.items()
        for name, estimate in row.items()
    ]


def _auc(test: WindowScores, score: str, class_name: str, samples: int, seed: int) -> AucEstimate:
    abnormal = test.abnormal(class_name)
    used = abnormal | test.normal
    return auc_by_scan(test.scores[score][used], abnormal[used], test.scan_ids[used], samples, seed)


def _trivial(blocks: Iterator[NDArray[np.uint8]]) -> dict[str, Scores]:
    parts = [{name: score(block) for name, score in TRIVIAL_SCORES.items()} for block in blocks]
    return {name: _joined(p[name] for p in parts) for name in TRIVIAL_SCORES}


def _joined(parts: Iterable[Scores]) -> Scores:
    return np.concatenate([np.empty(0), *parts])
