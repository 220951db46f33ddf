"""Scores of whole bags, and of the places in them: which bag to open, and where to look.

The windows' scores become p-values among validation normals (`pipeline.common.p_values`), and a
bag's score is a statistic of its windows' p-values. All windows but background count, also those
that graze a threat, as they do when a bag is screened.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.common.metrics import (
    NOT_DEFINED,
    AucEstimate,
    RateEstimate,
    auc,
    auc_by_scan,
    estimate_by_scan,
    rate_by_scan,
)
from pipeline.common.names import NORMAL, Patches, Scores
from pipeline.common.p_values import RightTail
from pipeline.common.tables import text_table
from pipeline.evaluation.evaluate import SECTIONS, TestScores
from pipeline.evaluation.showcase import FigureInputs
from pipeline.models.bag_scores import Tails, bag_score
from pipeline.patches.windows import (
    GRAZING,
    highest_apart,
    is_background,
    label_windows,
    stitch,
    window_origins,
    window_pixels,
    window_sums,
)
from pipeline.settings.blocks import EvaluateSettings

LOOKS = (1, 3, 5)  # windows that a person looks at
BINS = 1000  # of -log p of a pixel, from 0 to its highest

ScorePatches = Callable[[Patches], Mapping[str, Scores]]


@dataclass(frozen=True)
class Bag:
    """A test scan with all its windows but background.

    Attributes:
        scan_id: the scan's id.
        origins: (N, 2) of the windows.
        size: the windows' side in pixels.
        scores: (N,) scores of the windows, by the score's name.
        normal, abnormal: (N,) True on windows that are normal, and that are of a threat. Windows
            that graze a threat are neither.
        touches: (N,) True on windows that touch a threat.
        pixels: by the score's name, (2, BINS): how many pixels have which -log p in the stitched
            map; first the pixels without threat, then those of a threat.
    """

    scan_id: str
    origins: NDArray[np.int32]
    size: int
    scores: Mapping[str, Scores]
    normal: NDArray[np.bool_]
    abnormal: NDArray[np.bool_]
    touches: NDArray[np.bool_]
    pixels: Mapping[str, NDArray[np.int64]]

    @property
    def has_threat(self) -> bool:
        """Whether the scan has a threat."""
        return any(bool(counts[1].any()) for counts in self.pixels.values())


@dataclass(frozen=True)
class BagMetrics:
    """How well one score finds bags, and the places in them; intervals resample whole bags.

    Attributes:
        auc: AUC of the bags with a threat against the normal bags.
        control: the same without the windows that touch a threat. What is left tells the bags apart
            by something else, such as the session of scanning or how full they are; 0.5 is nothing.
        found: share of the bags with a threat that raise an alarm.
        false_alarms: share of the normal bags that do.
        first_look: by number of windows, the share of the bags with a threat in which one of so
            many windows touches it: those with the highest scores, of which none overlap.
        within: mean, over the bags with a threat, of the AUC of a bag's threat windows against its
            own normal windows.
        pixels: average precision of the pixels of all bags, by the stitched -log p.
    """

    auc: AucEstimate
    control: AucEstimate
    found: RateEstimate
    false_alarms: RateEstimate
    first_look: Mapping[int, RateEstimate]
    within: RateEstimate
    pixels: RateEstimate


@dataclass(frozen=True)
class MeasuredBags:
    """What every score finds of the test bags.

    Attributes:
        metrics: by score; {} if no bag has several windows.
        false_alarm_rate: the rate that is asked for.
        validation: number of validation bags.
    """

    metrics: Mapping[str, BagMetrics]
    false_alarm_rate: float
    validation: int

    def details(self) -> dict[str, Any]:
        """Return the block `bags` of details.json, by score; None where nothing is defined."""
        return {
            name: {
                "auc": asdict(found.auc),
                "control": asdict(found.control),
                "found": asdict(found.found),
                "false_alarms": asdict(found.false_alarms),
                **{f"first_look_{n}": asdict(seen) for n, seen in found.first_look.items()},
                "within": asdict(found.within),
                "pixels": asdict(found.pixels),
            }
            for name, found in self.metrics.items()
        }

    def text(self) -> str:
        """Return a text table, a row per score, and below it what the false-alarm rate can be.

        A column that is not defined for any score is left out: without threats, most are.
        """
        if not self.metrics:
            return "no bag has several windows: nothing to measure"
        every = self.metrics.values()
        columns = {
            "AUC": [str(found.auc) for found in every],
            "control": [str(found.control) for found in every],
            "found": [str(found.found) for found in every],
            "false alarms": [str(found.false_alarms) for found in every],
            **{f"first {n}": [str(found.first_look[n]) for found in every] for n in LOOKS},
            "within": [str(found.within) for found in every],
            "pixels": [str(found.pixels) for found in every],
        }
        shown = {head: cells for head, cells in columns.items() if set(cells) != {NOT_DEFINED}}
        rows: list[Sequence[object]] = []
        for name, *cells in zip(self.metrics, *shown.values(), strict=True):
            if name in SECTIONS:
                rows.append([SECTIONS[name]])
            rows.append([name, *cells])
        rate, least = self.false_alarm_rate, 1 / (self.validation + 1)
        promise = f"asked: {rate:g} of normal bags (screen.false_alarm_rate)"
        if rate < least:
            promise += (
                f"; with validation bags: {self.validation}, the least is {least:.3f}, so no bag "
                "raises an alarm: add normal scans"
            )
        control = "control: the AUC of the bags without the windows that touch a threat"
        lines = [text_table(["bags", *shown], rows), *[control] * ("control" in shown), promise]
        return "\n".join(lines)


def scored_bags(
    inputs: FigureInputs, test: TestScores, tails: Mapping[str, Tails], score: ScorePatches
) -> Iterator[Bag]:
    """Yield the test scans with the scores of all their windows but background.

    The windows of the store have their scores already. Those that graze a threat get theirs by
    `score`. Scans that extraction left out are left out here as well.
    """
    for row in inputs.scans:
        rows = np.flatnonzero(test.scan_ids == row.scan_id)
        if not len(rows):
            continue
        scan = inputs.source.read(row.entry())
        height, width = scan.image.shape[:2]
        rule = inputs.rule
        origins = window_origins(height, width, rule.size, rule.stride)
        origins = origins[~is_background(scan.image, origins, rule)]
        stored = {tuple(inputs.store.origins[row].tolist()): row for row in rows.tolist()}
        known = np.array([stored.get(tuple(origin), -1) for origin in origins.tolist()])
        others = score(window_pixels(scan.image, origins[known < 0], rule))
        scores = {}
        for name, values in test.scores.items():
            scores[name] = values[known]
            scores[name][known < 0] = others[name]
        labels = np.array(label_windows(scan, origins, rule))
        threats = scan.threats()
        p_values = [tails[name].windows.p_values(values) for name, values in scores.items()]
        evidence = stitch(-np.log(np.stack(p_values, 1)), origins, rule.size, height, width)
        pixels = {
            name: _pixel_counts(evidence[:, :, place], threats, tails[name].windows)
            for place, name in enumerate(scores)
        }
        yield Bag(
            row.scan_id,
            origins,
            rule.size,
            scores,
            normal=labels == NORMAL,
            abnormal=(labels != NORMAL) & (labels != GRAZING),
            touches=window_sums(threats, origins, rule.size) > 0,
            pixels=pixels,
        )


def measure(
    bags: Sequence[Bag],
    score: str,
    tails: Tails,
    false_alarm_rate: float,
    samples: int,
    seed: int,
) -> BagMetrics:
    """Measure one score on test bags.

    Args:
        bags: the test bags.
        score: the score's name.
        tails: of the score on validation normals.
        false_alarm_rate: a bag whose p-value is this or less raises an alarm.
        samples: number of resamples for intervals.
        seed: seed of the resampling.
    """
    ids = np.array([bag.scan_id for bag in bags])
    threat = np.array([bag.has_threat for bag in bags], dtype=np.bool_)
    p_values = [tails.windows.p_values(bag.scores[score]) for bag in bags]
    found = np.array([bag_score(values) for values in p_values])
    control = np.array(
        [bag_score(values[~bag.touches]) for values, bag in zip(p_values, bags, strict=True)]
    )
    alarm = tails.bags.p_values(found) <= false_alarm_rate
    with_threat = [bag for bag in bags if bag.has_threat]
    first = {
        looks: np.array([_is_seen(bag, score, looks) for bag in with_threat], dtype=np.bool_)
        for looks in LOOKS
    }
    within = [value for bag in with_threat if (value := _auc_within(bag, score)) is not None]
    pixels = np.array([bag.pixels[score] for bag in bags], dtype=np.float64)
    return BagMetrics(
        auc=auc_by_scan(found, threat, ids, samples, seed),
        control=auc_by_scan(control, threat, ids, samples, seed),
        found=rate_by_scan(alarm[threat], ids[threat], samples, seed),
        false_alarms=rate_by_scan(alarm[~threat], ids[~threat], samples, seed),
        first_look={
            looks: rate_by_scan(seen, ids[threat], samples, seed) for looks, seen in first.items()
        },
        within=estimate_by_scan(
            np.array([(value, 1) for value in within]), lambda s: s[0] / s[1], samples, seed
        ),
        pixels=estimate_by_scan(pixels, average_precision, samples, seed),
    )


def tails_of(validation: TestScores) -> dict[str, Tails]:
    """Return the tails of each score of validation normal windows."""
    return {
        name: Tails.of(scores, validation.scan_ids) for name, scores in validation.scores.items()
    }


def measure_all(
    bags: Sequence[Bag],
    tails: Mapping[str, Tails],
    false_alarm_rate: float,
    settings: EvaluateSettings,
) -> MeasuredBags:
    """Measure every score on the test bags.

    Args:
        bags: the test bags; none if each patch is a whole scan.
        tails: of each score on validation normals.
        false_alarm_rate: a bag whose p-value is this or less raises an alarm.
        settings: resamples, seed.
    """
    samples, seed = settings.bootstrap, settings.seed
    metrics = {
        name: measure(bags, name, tails[name], false_alarm_rate, samples, seed)
        for name in (bags[0].scores if bags else ())
    }
    return MeasuredBags(metrics, false_alarm_rate, next(iter(tails.values())).bags.count)


def average_precision(counts: NDArray[np.float64]) -> float:
    """Return the average precision of pixels, NaN without a threat.

    Args:
        counts: (2, bins), the pixels without and with threat, in bins of a rising score.
    """
    without, threats = counts[:, ::-1].cumsum(axis=1)
    if threats[-1] == 0:
        return float("nan")
    alarms = np.maximum(without + threats, 1)
    return float((counts[1, ::-1] / threats[-1]) @ (threats / alarms))


def _pixel_counts(
    evidence: NDArray[np.float32], threats: NDArray[np.bool_], windows: RightTail
) -> NDArray[np.int64]:
    """Count the pixels of a stitched map of -log p by bin: without and with threat, (2, BINS)."""
    highest = np.log(1 + windows.count)
    bins = (np.nan_to_num(evidence) / highest * (BINS - 1)).astype(np.int64)
    return np.stack([np.bincount(bins[kind], minlength=BINS) for kind in (~threats, threats)])


def _is_seen(bag: Bag, score: str, looks: int) -> bool:
    """Return whether one of the first `looks` windows to look at touches a threat."""
    first = highest_apart(bag.scores[score], bag.origins, bag.size, looks)
    return bool(bag.touches[first].any())


def _auc_within(bag: Bag, score: str) -> float | None:
    """Return the AUC of a bag's threat windows against its own normal windows."""
    scores = bag.scores[score]
    return auc(scores[bag.normal], scores[bag.abnormal])
