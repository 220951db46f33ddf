"""Judges a score of windows (README.md): over all windows, within each scan, across, and by bag.

Scores are (N,); a higher score is more abnormal. Windows of one scan are alike, so every bootstrap
resamples whole scans.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.common.errors import InputError
from pipeline.common.metrics import auc, percentile_interval, resampled_aucs
from pipeline.common.names import Scores
from pipeline.common.tables import text_table
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import top_non_overlapping

FALSE_ALARMS = 0.05  # of the normal bags
TOP = 5  # windows of a bag that are averaged
SAMPLES = 1000


@dataclass(frozen=True)
class WindowLabels:
    """Labels and scans of N windows.

    Attributes:
        abnormal: (N,) True where a window holds a threat.
        scan_ids: (N,) the scan of each.
        origins: (N, 2) of the windows in their scans; None if that is not known.
        size: the windows' side in pixels.
    """

    abnormal: NDArray[np.bool_]
    scan_ids: NDArray[np.str_]
    origins: NDArray[np.int32] | None = None
    size: int = 64

    @classmethod
    def read(cls, store: PatchStore) -> "WindowLabels":
        """Return the labels and scans of all windows of a store."""
        return cls(~store.is_normal(), store.scan_ids, store.origins, store.side)

    def of(self, scan: str) -> NDArray[np.bool_]:
        """Return (N,) True where a window is of the scan."""
        return np.asarray(self.scan_ids == scan)

    def threat_scans(self) -> list[str]:
        """Return the scans with an abnormal window."""
        found: list[str] = np.unique(self.scan_ids[self.abnormal]).tolist()
        return found

    def normal_scans(self) -> list[str]:
        """Return the scans without an abnormal window."""
        found: list[str] = np.setdiff1d(self.scan_ids, self.threat_scans()).tolist()
        return found


def require_labels(labelled: PatchStore) -> None:
    """Refuse a part that lacks one of the kinds.

    Raises:
        InputError: there is no normal or no abnormal window in it.
    """
    normal = labelled.is_normal()
    if not normal.any() or normal.all():
        raise InputError(
            f"{labelled.folder}: {normal.sum()} normal and {(~normal).sum()} abnormal windows in "
            f"{labelled.split}, expected some of both: set scans.labelled_validation"
        )


def window_auc(scores: Scores, windows: WindowLabels) -> float:
    """Return the AUC of threat windows against all normal windows; NaN if it is not defined."""
    value = auc(scores[~windows.abnormal], scores[windows.abnormal])
    return np.nan if value is None else value


def auc_within_scans(scores: Scores, windows: WindowLabels) -> float | None:
    """Return the mean over scans of the AUC of threat against normal windows of the same scan."""
    found = [
        auc(scores[own & ~windows.abnormal], scores[own & windows.abnormal])
        for own in map(windows.of, windows.threat_scans())
    ]
    defined = [value for value in found if value is not None]
    return float(np.mean(defined)) if defined else None


def threat_bags_found(scores: Scores, windows: WindowLabels, top: int) -> float | None:
    """Return the share of scans with a threat that are found at `FALSE_ALARMS` on those without.

    A scan's score is the mean of its `top` highest windows. With 20 normal scans or less the
    threshold is the highest score of these. None where one of the kinds is absent.
    """
    normal, threat = _bag_scores(scores, windows, top)
    if not len(normal) or not len(threat):
        return None
    threshold = np.quantile(normal, 1 - FALSE_ALARMS, method="higher")
    return float((threat > threshold).mean())


def cross_auc(scores: Scores, windows: WindowLabels) -> float | None:
    """Return the AUC of threat windows against all windows of scans without a threat."""
    in_normal_scans = np.isin(windows.scan_ids, windows.normal_scans())
    return auc(scores[in_normal_scans], scores[windows.abnormal])


def first_look(scores: Scores, windows: WindowLabels, looks: int) -> float | None:
    """Return the share of scans with a threat that is on one of the `looks` highest windows.

    Of windows that overlap, the highest. None if it is not known where the windows are.
    """
    if windows.origins is None:
        return None
    found = []
    for scan in windows.threat_scans():
        own = np.flatnonzero(windows.of(scan))
        first = top_non_overlapping(scores[own], windows.origins[own], windows.size, looks)
        found.append(bool(windows.abnormal[own[first]].any()))
    return float(np.mean(found)) if found else None


def bag_auc(scores: Scores, windows: WindowLabels, *, control: bool = False) -> float | None:
    """Return the AUC of scans with a threat against those without, by the `TOP` highest windows.

    Args:
        scores: (N,).
        windows: their labels and scans.
        control: leave out the threat windows, and scans that have no other. If the AUC is not
            near 0.5, the score tells the scans apart by something else, such as the session of
            scanning.
    """
    return auc(*_bag_scores(scores, windows, TOP, ~windows.abnormal if control else True))


def _bag_scores(
    scores: Scores, windows: WindowLabels, top: int, kept: NDArray[np.bool_] | bool = True
) -> tuple[Scores, Scores]:
    """Return the mean of the `top` highest kept windows of scans without a threat, and with one."""
    normal, threat = (
        [
            np.sort(scores[own])[-top:].mean()
            for own in (windows.of(scan) & kept for scan in scans)
            if own.any()
        ]
        for scans in (windows.normal_scans(), windows.threat_scans())
    )
    return np.array(normal), np.array(threat)


# The columns of a table, in this order.
MEASURES: Mapping[str, Callable[[Scores, WindowLabels], float | None]] = {
    "within": auc_within_scans,
    "cross": cross_auc,
    "first 1": partial(first_look, looks=1),
    "first 3": partial(first_look, looks=3),
    "bag AUC": bag_auc,
    "control": partial(bag_auc, control=True),
    "bags, max": partial(threat_bags_found, top=1),
    f"top {TOP}": partial(threat_bags_found, top=TOP),
}


def scores_text(scores: Mapping[str, Scores], windows: WindowLabels, lines: Sequence[str]) -> str:
    """Return a table: a row for each score, with its difference from each score in `lines`."""
    found = {name: _Found.of(each, windows) for name, each in scores.items()}
    less = [f"less {line}" for line in lines]
    rows = [
        [name, own.cell(), *(own.less(found[line]) for line in lines), *own.measures]
        for name, own in found.items()
    ]
    threats = int(windows.abnormal.sum())
    threat_scans, normal_scans = windows.threat_scans(), windows.normal_scans()
    return "\n".join(
        [
            text_table(["AUC", "", *less, *MEASURES], rows),
            f"{threats} windows with a threat, {len(windows.abnormal) - threats} normal",
            f"{len(threat_scans)} scans with a threat, {len(normal_scans)} without",
        ]
    )


@dataclass(frozen=True)
class _Found:
    """The results of one score, for its row."""

    auc: float
    resampled: Scores
    measures: tuple[str, ...]

    @classmethod
    def of(cls, scores: Scores, windows: WindowLabels) -> "_Found":
        found = [measure(scores, windows) for measure in MEASURES.values()]
        resampled = resampled_aucs(scores, windows.abnormal, windows.scan_ids, SAMPLES, seed=0)
        cells = tuple("-" if value is None else f"{value:.2f}" for value in found)
        return cls(window_auc(scores, windows), resampled, cells)

    def cell(self) -> str:
        return _cell(self.auc, self.resampled)

    def less(self, other: "_Found") -> str:
        return _cell(self.auc - other.auc, self.resampled - other.resampled, "+")


def _cell(value: float, resampled: Scores, sign: str = "") -> str:
    low, high = percentile_interval(resampled)
    return f"{value:{sign}.3f} [{low:{sign}.3f} {high:{sign}.3f}]"
