"""Logs each cell of the result tables once, as an MLflow run, and finds the run by its tags."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from experiments.paper.cells import CIFAR, Cell, Size
from experiments.paper.protocols import HONEST, Protocol
from pipeline.common.names import NORMAL
from pipeline.evaluation.evaluate import ANOMALY, OVERALL
from pipeline.tracking.tracked_run import open_run
from pipeline.tracking.tracker import KIND_TAG, Tracker

CELL = "cell"  # of `KIND_TAG`
CELL_TAG = "skipscan.cell"  # its key
TABLE_TAG = "skipscan.table"  # 1 or 2: the paper's number
FINISHED = "attributes.status = 'FINISHED'"
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Result:
    """A cell as MLflow has it.

    Attributes:
        cell: what was run.
        counts: how many patches train, validate and test.
        seconds, device, threads: how long it took, on what.
        metrics: by the names of `metric_name`.
    """

    cell: Cell
    counts: tuple[int, ...]
    seconds: float
    device: str
    threads: int
    metrics: Mapping[str, float]

    def figure(
        self, protocol: Protocol, score: str, class_name: str, end: str = ""
    ) -> float | None:
        """An AUC, or an end of its interval; None where it is not defined."""
        return self.metrics.get(metric_name(protocol, score, class_name, end))

    def classes(self) -> set[str]:
        """The classes that have figures, all together among them."""
        names = {name.removeprefix("windows/") for name in self.metrics if "windows/" in name}
        return names - {NORMAL}


def metric_name(protocol: Protocol, score: str, class_name: str, end: str = "") -> str:
    """The name of an AUC, or of the `low` or `high` end of its interval.

    As a pipeline's run has them; all that the test's labels leak into is under ``labels_leak/``.
    """
    leak = "" if protocol == HONEST else f"labels_leak/{protocol}/"
    after = f"/{end}" if end else ""
    if score != ANOMALY:
        return f"{leak}other/{score}/{class_name}{after}"
    if end:
        return f"{leak}interval/{class_name}{after}"
    return f"{leak or 'auc/'}{class_name}"


def log_cells(tracker: Tracker, rows: Iterable[dict[str, Any]]) -> int:
    """Log the lines of `cells.jsonl` that MLflow does not have yet; returns how many."""
    known = {run.data.tags[CELL_TAG] for run in tracker.find({KIND_TAG: CELL}, FINISHED)}
    new = {row["key"]: row for row in rows if row["key"] not in known}
    for key, row in new.items():
        name = f"{row['case']}-{row['method']}-{row['seed']}"
        tags = {KIND_TAG: CELL, TABLE_TAG: "1" if row["data"] == CIFAR else "2"}
        run = open_run(tracker, {CELL_TAG: key}, name, tags, _params(row))
        run.log_metrics({"seconds": row["seconds"], **dict(_metrics(row))})
        run.finish()
    return len(new)


def find_results(tracker: Tracker) -> list[Result]:
    """The cells that MLflow has, the newest of equal ones, in an order that is always the same."""
    newest: dict[Cell, Result] = {}
    for run in tracker.find({KIND_TAG: CELL}, FINISHED):
        result = _result(run.data.params, run.data.metrics)
        newest.setdefault(result.cell, result)
    return [newest[cell] for cell in sorted(newest, key=repr)]


def _params(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("case", "method", "seed", "data", "device", "threads")
    return {
        **{name: row[name] for name in names},
        **row["size"],
        **dict(zip(PARTS, row["counts"], strict=True)),
        "protocols": " ".join(row["protocols"]),
        "labels_leak": " ".join(name for name in row["protocols"] if name != HONEST),
    }


def _metrics(row: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for protocol, found in row["found"].items():
        by_class = {**found.get("classes", {}), OVERALL: found["auc"]}
        for class_name, scores in by_class.items():
            for score, estimate in scores.items():
                yield metric_name(protocol, score, class_name), estimate["auc"]
                for end in ("low", "high"):
                    yield metric_name(protocol, score, class_name, end), estimate[end]
                yield f"windows/{class_name}", estimate["abnormal"]
                yield f"windows/{NORMAL}", estimate["normal"]
        leak = "" if protocol == HONEST else f"labels_leak/{protocol}/"
        yield f"{leak}best_epoch", found["epoch"]


def _result(params: Mapping[str, Any], metrics: Mapping[str, float]) -> Result:
    size = Size(**{name: type(value)(params[name]) for name, value in asdict(Size()).items()})
    protocols = tuple(params["protocols"].split())
    cell = Cell(
        params["case"], params["method"], int(params["seed"]), size, protocols, params["data"]
    )
    counts = tuple(int(params[name]) for name in PARTS)
    return Result(
        cell, counts, metrics["seconds"], params["device"], int(params["threads"]), metrics
    )
