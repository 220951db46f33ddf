"""Metrics of whole bags, and of the places in them: which bag to open, and where to look.

The windows' scores become p-values among validation normals (`pipeline.common.p_values`), and a
bag's score is a statistic of its windows' p-values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from pipeline.common.metrics import (
    MIN_SCANS,
    NOT_DEFINED,
    AucEstimate,
    RateEstimate,
    auc,
    auc_by_scan,
    estimate_by_scan,
)
from pipeline.common.tables import text_table
from pipeline.evaluation.auc_table import SECTIONS
from pipeline.evaluation.bags import ScoredBag
from pipeline.models.bag_scores import Tails, bag_score, least_rate, rounded_up
from pipeline.patches.windows import top_non_overlapping
from pipeline.settings.blocks import EvaluateSettings

TOP_WINDOWS = (1, 3, 5)  # windows that a person looks at


@dataclass(frozen=True)
class BagMetrics:
    """How well one score finds bags, and the places in them.

    Intervals of shares of bags are Wilson's; all others resample whole scans.

    Attributes:
        auc: AUC of the bags with a threat against the normal bags.
        control: the same without the windows that touch a threat, and without bags that have no
            other windows. If it is not near 0.5, the score tells the bags apart by something else,
            such as the session of scanning.
        detection_rate: share of the bags with a threat that raise an alarm.
        false_alarm_rate: share of the normal bags that raise an alarm.
        first_look: by k of `TOP_WINDOWS`, the hit rate at k: the share of the bags with a threat in
            which one of the k highest windows that do not overlap touches the threat.
        within_bag_auc: mean, over the bags with a threat, of the AUC of a bag's threat windows
            against its own normal windows.
        pixel_average_precision: of the pixels of all bags, ranked by the stitched -log p.
    """

    auc: AucEstimate
    control: AucEstimate
    detection_rate: RateEstimate
    false_alarm_rate: RateEstimate
    first_look: Mapping[int, RateEstimate]
    within_bag_auc: RateEstimate
    pixel_average_precision: RateEstimate


@dataclass(frozen=True)
class MeasuredBags:
    """The metrics of every score on the test bags.

    Attributes:
        metrics: by score; {} if no bag has several windows.
        false_alarm_rate: the rate that is asked for.
        validation_bags: number of validation bags.
        with_threat: ids of the test bags that have a threat, also if all windows on it graze it.
    """

    metrics: Mapping[str, BagMetrics]
    false_alarm_rate: float
    validation_bags: int
    with_threat: frozenset[str] = frozenset()

    def details(self) -> dict[str, Any]:
        """Return the block `bags` of details.json, by score; None where nothing is defined."""
        return {
            name: {
                "auc": asdict(measured.auc),
                "control": asdict(measured.control),
                "detection_rate": asdict(measured.detection_rate),
                "false_alarm_rate": asdict(measured.false_alarm_rate),
                **{f"first_look_{n}": asdict(seen) for n, seen in measured.first_look.items()},
                "within": asdict(measured.within_bag_auc),
                "pixels": asdict(measured.pixel_average_precision),
            }
            for name, measured in self.metrics.items()
        }

    def text(self) -> str:
        """Return a text table, a row per score, and below it the target false-alarm rate.

        A column that is not defined for any score is left out: without threats, most are.
        """
        if not self.metrics:
            return "no bag has several windows: nothing to measure"
        scores = self.metrics.values()
        columns = {
            "AUC": [str(row.auc) for row in scores],
            "control": [str(row.control) for row in scores],
            "detected": [str(row.detection_rate) for row in scores],
            "false alarms": [str(row.false_alarm_rate) for row in scores],
            **{f"first {n}": [str(row.first_look[n]) for row in scores] for n in TOP_WINDOWS},
            "within": [str(row.within_bag_auc) for row in scores],
            "pixels": [str(row.pixel_average_precision) for row in scores],
        }
        shown = {head: cells for head, cells in columns.items() if set(cells) != {NOT_DEFINED}}
        rows: list[Sequence[object]] = []
        for name, *cells in zip(self.metrics, *shown.values(), strict=True):
            if name in SECTIONS:
                rows.append([SECTIONS[name]])
            rows.append([name, *cells])
        rate, least = self.false_alarm_rate, least_rate(self.validation_bags)
        promise = f"target false-alarm rate: {rate:g} of normal bags (screen.false_alarm_rate)"
        if rate < least:
            bags = "bag" if self.validation_bags == 1 else "bags"
            promise += (
                f"; with {self.validation_bags} validation {bags} the lowest possible rate is "
                f"{rounded_up(least)}, so no bag raises an alarm: add normal scans"
            )
        control = "control: the AUC of the bags without the windows that touch a threat"
        lines = [text_table(["bags", *shown], rows), *[control] * ("control" in shown), promise]
        return "\n".join(lines)


def measure(
    bags: Sequence[ScoredBag],
    score: str,
    tails: Tails,
    false_alarm_rate: float,
    resamples: int,
    seed: int,
) -> BagMetrics:
    """Measure one score on test bags.

    Args:
        bags: the test bags.
        score: the score's name.
        tails: of the score on validation scans.
        false_alarm_rate: a bag whose p-value is this or less raises an alarm.
        resamples: number of bootstrap resamples, for intervals.
        seed: seed of the resampling.
    """
    ids = np.array([bag.scan_id for bag in bags])
    threat = np.array([bag.has_threat for bag in bags], dtype=np.bool_)
    p_values = [tails.windows.p_values(bag.scores[score]) for bag in bags]
    scores = np.array([bag_score(values) for values in p_values])
    control = np.array(
        [bag_score(values[~bag.touches]) for values, bag in zip(p_values, bags, strict=True)]
    )
    left = np.array([not bag.touches.all() for bag in bags], dtype=np.bool_)
    alarm = tails.bags.p_values(scores) <= false_alarm_rate
    with_threat = [bag for bag in bags if bag.has_threat]
    first = {
        looks: np.array([_is_seen(bag, score, looks) for bag in with_threat], dtype=np.bool_)
        for looks in TOP_WINDOWS
    }
    aucs = [auc(b.scores[score][b.normal], b.scores[score][b.abnormal]) for b in with_threat]
    within = [value for value in aucs if value is not None]
    histograms = np.array([bag.pixel_histograms[score] for bag in bags], dtype=np.float64)
    return BagMetrics(
        auc=auc_by_scan(scores, threat, ids, resamples, seed),
        control=auc_by_scan(control[left], threat[left], ids[left], resamples, seed),
        detection_rate=share_of_bags(alarm[threat]),
        false_alarm_rate=share_of_bags(alarm[~threat]),
        first_look={looks: share_of_bags(seen) for looks, seen in first.items()},
        within_bag_auc=estimate_by_scan(
            np.array([(value, 1) for value in within]), lambda s: s[0] / s[1], resamples, seed
        ),
        pixel_average_precision=estimate_by_scan(
            histograms, average_precision, resamples, seed, int(threat.sum())
        ),
    )


def share_of_bags(flags: NDArray[np.bool_]) -> RateEstimate:
    """Return the share of the bags that are flagged, with Wilson's 95% interval.

    Resamples of 5 of 5 bags are all alike, and would give an interval without width.

    Args:
        flags: (bags,) True where a bag is flagged.
    """
    count = len(flags)
    if count == 0:
        return RateEstimate(None, None, None, 0)
    low = high = None
    if count >= MIN_SCANS:
        interval = binomtest(int(flags.sum()), count).proportion_ci(method="wilson")
        low, high = float(interval.low), float(interval.high)
    return RateEstimate(float(flags.mean()), low, high, count)


def measure_all(
    bags: Sequence[ScoredBag],
    tails: Mapping[str, Tails],
    false_alarm_rate: float,
    settings: EvaluateSettings,
) -> MeasuredBags:
    """Measure every score on the test bags.

    Args:
        bags: the test bags; none if each patch is a whole scan.
        tails: of each score on validation scans.
        false_alarm_rate: a bag whose p-value is this or less raises an alarm.
        settings: resamples, seed.
    """
    resamples, seed = settings.bootstrap, settings.seed
    metrics = {
        name: measure(bags, name, tails[name], false_alarm_rate, resamples, seed)
        for name in (bags[0].scores if bags else ())
    }
    validation_bags = next(iter(tails.values())).bags.count
    with_threat = frozenset(bag.scan_id for bag in bags if bag.has_threat)
    return MeasuredBags(metrics, false_alarm_rate, validation_bags, with_threat)


def average_precision(counts: NDArray[np.float64]) -> float:
    """Return the average precision of pixels, NaN without a threat.

    Args:
        counts: (2, bins), numbers of pixels without and with a threat, in bins of a rising score.
    """
    without, threats = counts[:, ::-1].cumsum(axis=1)
    if threats[-1] == 0:
        return float("nan")
    alarms = np.maximum(without + threats, 1)
    return float((counts[1, ::-1] / threats[-1]) @ (threats / alarms))


def _is_seen(bag: ScoredBag, score: str, looks: int) -> bool:
    """Return whether one of the first `looks` windows to look at touches a threat."""
    first = top_non_overlapping(bag.scores[score], bag.origins, bag.size, looks)
    return bool(bag.touches[first].any())
