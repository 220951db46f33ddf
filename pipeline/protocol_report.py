"""What each protocol says of one training, side by side, leaks marked as such."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.evaluation import AucTable, auc_table, describe
from pipeline.files import read_rows, write_table, write_whole
from pipeline.protocols import HONEST, Protocol
from pipeline.reference_protocol import Picked

ROWS, TEXT = "protocols.csv", "protocols.txt"
COLUMNS = ("protocol", "labels_leak", "epoch", "score", "class", "auc", "low", "high", "normal",
           "abnormal")  # fmt: skip
LEAK = "the test's labels leak into these figures: batch-norm and best epoch"


def write_protocols(
    folder: Path,
    found: Mapping[Protocol, Picked],
    classes: tuple[str, ...],
    samples: int,
    seed: int,
) -> None:
    """Write protocols.csv and protocols.txt; without a row where only the honest one was asked."""
    tables = {
        protocol: auc_table(picked.scores, classes, samples, seed)
        for protocol, picked in found.items()
    }
    rows = [row for protocol, table in tables.items() for row in _rows(protocol, found, table)]
    write_table(folder / ROWS, COLUMNS, rows)
    texts = [
        describe(table, found[protocol].scores, _heading(protocol, found[protocol].epoch))
        for protocol, table in tables.items()
    ]
    write_whole(folder / TEXT, "".join(f"{text}\n\n" for text in texts).encode())


def leaking_metrics(folder: Path, score: str) -> dict[str, float | None]:
    """The AUCs of `score` in protocols.csv that labels leak into, by protocol and class."""
    return {
        f"labels_leak/{row['protocol']}/{row['class']}": float(row["auc"]) if row["auc"] else None
        for row in read_rows(folder / ROWS)
        if row["labels_leak"] == "True" and row["score"] == score
    }


def _rows(
    protocol: Protocol, found: Mapping[Protocol, Picked], table: AucTable
) -> Iterator[dict[str, Any]]:
    for score, row in table.items():
        for name, estimate in row.items():
            yield {
                "protocol": protocol,
                "labels_leak": protocol != HONEST,
                "epoch": found[protocol].epoch,
                "score": score,
                "class": name,
                **asdict(estimate),
            }


def _heading(protocol: Protocol, epoch: int) -> str:
    leak = "" if protocol == HONEST else f"; {LEAK}"
    return f"{protocol}, epoch {epoch} of a training in one process{leak}"
