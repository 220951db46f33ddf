"""Logs each finished cell once, as an MLflow run.

    python -m experiments.paper.log_cells [--cells work/table1 work/table2 work/authors]

Without `--cells`, the cells are those in `experiments/paper/cells`. The metrics of a cell of the
result tables have the names that a pipeline's run has. A training at the authors' settings is a
cell, too, with metrics by step, once its epochs are done.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.paper.author_runs import Run, runs_of
from experiments.paper.authors import EVAL, IN_ORDER, SHUFFLED, Case
from experiments.paper.cell_folders import REPOSITORY, read_folders
from experiments.paper.cell_results import PARTS, estimates_of
from experiments.paper.cells import CIFAR
from experiments.paper.protocols import HONEST
from experiments.run import run_main
from pipeline.common.names import NORMAL
from pipeline.evaluation.scores import ANOMALY
from pipeline.tracking.tracked_run import open_run
from pipeline.tracking.tracker import KIND_TAG, Tracker

CELL = "cell"  # of `KIND_TAG`
CELL_TAG = "skipscan.cell"  # its key
TABLE_TAG = "skipscan.table"  # 1 or 2: the paper's number
FINISHED = "attributes.status = 'FINISHED'"
LEAK = "labels_leak/"


def metric_name(protocol: str, score: str, class_name: str, end: str = "") -> str:
    """Return the name of an AUC, or of the `low` or `high` end of its interval.

    Names are those of a pipeline's run; AUCs into which labels leak are under ``labels_leak/``.
    """
    leak = "" if protocol == HONEST else f"{LEAK}{protocol}/"
    after = f"/{end}" if end else ""
    if score != ANOMALY:
        return f"{leak}other/{score}/{class_name}{after}"
    if end:
        return f"{leak}interval/{class_name}{after}"
    return f"{leak or 'auc/'}{class_name}"


def log_cells(tracker: Tracker, rows: Iterable[Mapping[str, Any]]) -> int:
    """Log the lines of `cells.jsonl` that MLflow does not have yet; return their number."""
    known = _known(tracker)
    new = {row["key"]: row for row in rows if row["key"] not in known}
    for key, row in new.items():
        name = f"{row['case']}-{row['method']}-{row['seed']}"
        tags = {KIND_TAG: CELL, TABLE_TAG: "1" if row["data"].startswith(CIFAR) else "2"}
        run = open_run(tracker, {CELL_TAG: key}, name, tags, _params(row))
        run.log_metrics({"seconds": row["seconds"], **dict(_metrics(row))})
        run.finish()
    return len(new)


def log_author_runs(tracker: Tracker, runs: Iterable[Run]) -> int:
    """Log the finished trainings that MLflow does not have yet; return their number."""
    known = _known(tracker)
    new = {_key(run): run for run in runs if run.finished and _key(run) not in known}
    for key, run in new.items():
        tags = {KIND_TAG: CELL, TABLE_TAG: "1"}
        logged = open_run(tracker, {CELL_TAG: key}, key, tags, _author_params(run))
        for row in run.rows.values():
            logged.log_metrics(dict(_author_metrics(row)), row["step"])
        logged.finish()
    return len(new)


def _known(tracker: Tracker) -> set[str]:
    return {run.data.tags[CELL_TAG] for run in tracker.find({KIND_TAG: CELL}, FINISHED)}


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
        for class_name, scores in estimates_of(found).items():
            for score, estimate in scores.items():
                yield metric_name(protocol, score, class_name), estimate["auc"]
                for end in ("low", "high"):
                    yield metric_name(protocol, score, class_name, end), estimate[end]
                yield f"windows/{class_name}", estimate["abnormal"]
                yield f"windows/{NORMAL}", estimate["normal"]
        leak = "" if protocol == HONEST else f"{LEAK}{protocol}/"
        yield f"{leak}best_epoch", found["epoch"]


def _key(run: Run) -> str:
    return f"authors-{run.case}-{run.seed}-{Case.ngf}"


def _author_params(run: Run) -> dict[str, Any]:
    return {
        "case": run.case,
        "method": "skip_ganomaly",
        "settings": "authors",
        "seed": run.seed,
        "data": CIFAR,
        "ngf": Case.ngf,
        "protocols": f"{IN_ORDER} {SHUFFLED} {EVAL}",
        "labels_leak": f"{IN_ORDER} {SHUFFLED}",
    }


def _author_metrics(row: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for protocol, scores in row["auc"].items():
        leak = "" if protocol == EVAL else LEAK
        for score, value in scores.items():
            place = "" if score == ANOMALY else f"other/{score}/"
            yield f"{leak}{place}auc_{protocol}", value
    for share, scores in row.get("mixed", {}).items():
        yield f"{LEAK}auc_share_{share}", scores[ANOMALY]
    yield from row.get("losses", {}).items()
    for name in ("redrawn", "seconds"):
        yield name, row.get(name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cells to MLflow")
    parser.add_argument("--cells", nargs="+", type=Path, default=[REPOSITORY], help="their folders")
    return parser.parse_args()


def main() -> None:
    """Log new cells."""
    lines = read_folders(_arguments().cells)
    tracker = Tracker.open(later="python -m experiments.paper.log_cells")
    with tracker.tolerating_store_errors():
        new = log_cells(tracker, lines.cells) + log_author_runs(tracker, runs_of(lines.authors))
        print(f"{new} new cells in MLflow")
    if tracker.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    run_main(main)
