"""The alarms of the stored threshold on the test split: windows and scans with a score over it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.common.metrics import RateEstimate, rate_by_scan
from pipeline.common.names import NORMAL
from pipeline.common.tables import text_table
from pipeline.evaluation.scores import ANOMALY, OVERALL, WindowScores
from pipeline.models.trained_model import Calibration


@dataclass(frozen=True)
class ValidationSummary:
    """The threshold and the criterion, both from the validation split.

    Attributes:
        calibration: bounds and threshold of the anomaly score.
        criterion: implant_auc of the best epoch.
        scans: number of validation scans.
    """

    calibration: Calibration
    criterion: float
    scans: int


@dataclass(frozen=True)
class ScanCount:
    """Numbers of scans of one kind: with a window over the threshold (`alarms`), and in all."""

    alarms: int
    scans: int

    @property
    def share(self) -> float | None:
        """The share with an alarm, 0 to 1; None if there is no scan of the kind."""
        return self.alarms / self.scans if self.scans else None


@dataclass(frozen=True)
class Alarms:
    """The alarms of the stored threshold.

    Attributes:
        validated: the threshold, and the false-alarm rate on validation scans that it was set for.
        windows: share of the windows with an alarm, by class; `normal` first, `overall` last.
        normal_scans: the scans without a threat.
        threat_scans: the scans with a threat.
    """

    validated: ValidationSummary
    windows: Mapping[str, RateEstimate]
    normal_scans: ScanCount
    threat_scans: ScanCount

    @classmethod
    def of(
        cls,
        test: WindowScores,
        validated: ValidationSummary,
        classes: tuple[str, ...],
        resamples: int,
        seed: int,
        with_threat: Collection[str] = (),
    ) -> "Alarms":
        """Count the alarms on the test windows; intervals are from bootstrap `resamples` of scans.

        The scans `with_threat` have a threat even if none of their windows is abnormal.
        """
        over = test.scores[ANOMALY] > validated.calibration.scaled_threshold
        masks = {NORMAL: test.normal, **{n: test.abnormal(n) for n in (*classes, OVERALL)}}
        windows = {
            name: rate_by_scan(over[mask], test.scan_ids[mask], resamples, seed)
            for name, mask in masks.items()
        }
        scans = set(test.scan_ids.tolist())
        threats = set(test.scan_ids[~test.normal].tolist()) | scans.intersection(with_threat)
        normals = scans - threats
        alarmed = set(test.scan_ids[over].tolist())
        return cls(
            validated,
            windows,
            ScanCount(len(normals & alarmed), len(normals)),
            ScanCount(len(threats & alarmed), len(threats)),
        )

    def metrics(self) -> dict[str, Any]:
        """Return the block `threshold` of details.json; None where a metric is not defined."""
        normal, calibration = self.windows[NORMAL], self.validated.calibration
        return {
            "scaled": calibration.scaled_threshold,
            "target_false_alarm_rate": calibration.false_alarm_rate,
            "false_alarm_rate": normal.rate,
            "false_alarm_interval": {"low": normal.low, "high": normal.high},
            "detection_rate": {n: rate.rate for n, rate in self.windows.items() if n != NORMAL},
            "scans_with_alarm": {
                NORMAL: self.normal_scans.share,
                "with_threat": self.threat_scans.share,
            },
        }

    def text(self) -> str:
        """Return text for people: the share of each class's windows, and the scans, with an alarm.

        Classes without windows are left out.
        """
        defined = {name: rate for name, rate in self.windows.items() if rate.scans}
        shares = ["over the threshold", *defined.values()]
        calibration, scans = self.validated.calibration, self.validated.scans
        target = (
            f"target false-alarm rate: {calibration.false_alarm_rate:g} of normal windows "
            f"(train.false_alarm_rate); threshold {calibration.scaled_threshold:.3f}, set on "
            f"{scans} validation {'scan' if scans == 1 else 'scans'}"
        )
        kinds = (("normal", self.normal_scans), ("with a threat", self.threat_scans))
        counts = [f"{kind.alarms} of {kind.scans} {name}" for name, kind in kinds if kind.scans]
        scans_over = [f"scans with a window over it: {', '.join(counts)}"] if counts else []
        table = [text_table(["share of the windows", *defined], [shares])] if defined else []
        return "\n".join([*table, target, *scans_over])
