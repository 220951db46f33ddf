"""Finished cells of the result tables with their figures, as `cells.jsonl` has them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.paper.cells import Cell, Size
from experiments.paper.protocols import Protocol
from pipeline.evaluation.scores import OVERALL

PARTS = ("train", "validation", "test")

Estimates = Mapping[str, Mapping[str, Mapping[str, float | None]]]


@dataclass(frozen=True)
class Result:
    """A finished cell.

    Attributes:
        cell: the training, or the scores without a model.
        counts: how many patches train, validate and test.
        seconds, device, threads: how long it took, on what.
        estimates: by protocol, class and score, an AUC (`auc`) with its 95% interval (`low`,
            `high`).
    """

    cell: Cell
    counts: tuple[int, ...]
    seconds: float
    device: str
    threads: int
    estimates: Mapping[Protocol, Estimates]

    def figure(
        self, protocol: Protocol, score: str, class_name: str, end: str = "auc"
    ) -> float | None:
        """Return an AUC, or an end of its interval; None where it is not defined."""
        scores = self.estimates.get(protocol, {}).get(class_name, {})
        return scores[score][end] if score in scores else None

    def classes(self) -> set[str]:
        """Return the classes that have figures, `OVERALL` among them."""
        return {name for by_class in self.estimates.values() for name in by_class}


def results_of(rows: Iterable[Mapping[str, Any]]) -> list[Result]:
    """Return the cells of lines of `cells.jsonl`, the last of equal ones, in a fixed order."""
    last: dict[Cell, Result] = {}
    for row in rows:
        result = _result(row)
        last[result.cell] = result
    return [last[cell] for cell in sorted(last, key=repr)]


def estimates_of(figures: Mapping[str, Any]) -> Estimates:
    """Return the figures of a protocol in a line of `cells.jsonl`, by class and score."""
    return {**figures.get("classes", {}), OVERALL: figures["auc"]}


def _result(row: Mapping[str, Any]) -> Result:
    size, protocols = Size(**row["size"]), tuple(row["protocols"])
    return Result(
        Cell(row["case"], row["method"], row["seed"], size, protocols, row["data"]),
        tuple(row["counts"]),
        row["seconds"],
        row["device"],
        row["threads"],
        {protocol: estimates_of(found) for protocol, found in row["found"].items()},
    )
