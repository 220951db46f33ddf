"""The trainings at the authors' settings, from the lines of `authors.jsonl`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from experiments.paper.authors import EARLY, EPOCHS, EVAL, IN_ORDER, SHARES, SHUFFLED, Case
from experiments.paper.cells import CIFAR
from experiments.paper.paper_tables import CASES, table_1
from pipeline.evaluation.scores import ANOMALY

PAPER = table_1("skip_ganomaly")
LAST = f"epoch {EPOCHS}"
EPOCHS_ONLY = tuple(f"epoch {number}" for number in range(1, EPOCHS + 1))
MOMENTS = ("before training", *(f"step {step}" for step in EARLY), *EPOCHS_ONLY)

HONEST_LAST = "honest: evaluation mode, last epoch"
FACTORS = (
    HONEST_LAST,
    "+ the test batch's own statistics, the test shuffled",
    "+ the test in class order",
    "+ the best epoch, picked on the test",
    "+ the rest",
)


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        case: the class that is left out.
        seed: of the weights and the order of training.
        rows: the lines of `authors.jsonl`, by moment (`MOMENTS`).
    """

    case: str
    seed: int
    rows: Mapping[str, Mapping[str, Any]]

    @property
    def finished(self) -> bool:
        """Return whether every moment was measured, and the shares of one class after the last."""
        return all(moment in self.rows for moment in MOMENTS) and "mixed" in self.rows[LAST]

    def auc(self, protocol: str, moment: str) -> float:
        """Return the AUC of the anomaly score by a protocol of `authors`, at a moment."""
        return float(self.rows[moment]["auc"][protocol][ANOMALY])

    @property
    def best(self) -> str:
        """Return the epoch that the 2019 code picks: by the AUC on the test, in class order."""
        return max(EPOCHS_ONLY, key=lambda moment: self.auc(IN_ORDER, moment))

    @property
    def as_2019(self) -> float:
        """Return the AUC as the 2019 code scores: in class order, at the epoch that it picks."""
        return self.auc(IN_ORDER, self.best)

    @property
    def honest(self) -> float:
        """Return the AUC in evaluation mode after the last epoch."""
        return self.auc(EVAL, LAST)

    @property
    def shares(self) -> dict[float, float]:
        """Return the AUCs after the last epoch, by the share of a batch that is of one class."""
        found = self.rows[LAST]["mixed"]
        return {share: float(found[f"{share:g}"][ANOMALY]) for share in SHARES}

    def factors(self) -> dict[str, float]:
        """Return the honest AUC, and the change by each factor: their sum is the paper's AUC."""
        shuffled, in_order = self.auc(SHUFFLED, LAST), self.auc(IN_ORDER, LAST)
        reached = (0.0, self.honest, shuffled, in_order, self.as_2019, PAPER[self.case])
        changes = [after - before for before, after in pairwise(reached)]
        return dict(zip(FACTORS, changes, strict=True))


def runs_of(rows: Iterable[Mapping[str, Any]]) -> list[Run]:
    """Return the trainings at the authors' width on the JPEG copies, by case and seed.

    Of equal lines, the last counts. Lines of other images are left out, as the page's text and its
    scores without a model are of the JPEG copies.
    """
    found: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if is_shown(row):
            found.setdefault((row["case"], row["seed"]), {})[moment_of(row)] = row
    ordered = sorted(found, key=lambda run: (CASES.index(run[0]), run[1]))
    return [Run(case, seed, found[case, seed]) for case, seed in ordered]


def is_shown(row: Mapping[str, Any]) -> bool:
    """Return whether a line is of the authors' width and of the JPEG copies."""
    return bool(row["ngf"] == Case.ngf and row.get("data", CIFAR) == CIFAR)


def moment_of(row: Mapping[str, Any]) -> str:
    """Return the moment at which a line was measured (`MOMENTS`)."""
    if row["epoch"]:
        return f"epoch {row['epoch']}"
    return f"step {row['step']}" if row["step"] else MOMENTS[0]


def by_case(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the trainings of each case."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.case, []).append(run)
    return found


def finished_cases(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the finished trainings of each case that has any."""
    return by_case(run for run in runs if run.finished)


def case_means(cases: Mapping[str, Iterable[Run]], figure: Callable[[Run], float]) -> list[float]:
    """Return the mean of a figure over the trainings of each case."""
    return [fmean(figure(run) for run in runs) for runs in cases.values()]
