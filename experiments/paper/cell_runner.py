"""Runs the unfinished cells of the result tables.

After a kill, a rerun resumes after the last epoch. Needs torch, but neither Ray, MLflow nor DVC.
"""

import argparse
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.array_store import ArrayStore
from experiments.baselines import without_model
from experiments.paper.cells import (
    METHODS,
    NO_METHOD,
    PROTOCOLS,
    SEEDS,
    Cell,
    Size,
    add_cell,
    checkpoint_of,
    read_cells,
    settings_of,
)
from experiments.paper.protocols import HONEST, Protocol
from experiments.paper.reference_protocol import LabelledTest, run_protocols
from pipeline.common.names import TEST
from pipeline.evaluation.auc_table import auc_table
from pipeline.evaluation.scores import OVERALL, WindowScores
from pipeline.patches.store import PatchSource, evenly_spaced
from pipeline.training.criterion import load_validation

SAMPLES = 200  # resamples behind an interval


@dataclass(frozen=True)
class Parts:
    """The training and test patches of the cells of a case.

    Attributes:
        train, validation: normal patches.
        test: the test part.
        classes: abnormal classes with figures of their own, beside those of all together.
    """

    train: PatchSource
    validation: PatchSource
    test: LabelledTest
    classes: tuple[str, ...] = ()


def run_cells(
    cells: Iterable[Cell], parts_of: Callable[[str], Parts], out: Path, device: torch.device
) -> None:
    """Run the missing cells, then print a line for each cell."""
    for cell in cells:
        if not cell.is_in(read_cells(out)):
            add_cell(out, run_cell(cell, parts_of(cell.case), out, device))
    print("\n".join(summary(read_cells(out))))


def run_cell(cell: Cell, parts: Parts, out: Path, device: torch.device) -> dict[str, Any]:
    """Train and score one cell, from where it was left."""
    print(f"{cell.case}, {cell.method}, seed {cell.seed}", flush=True)
    started = time.monotonic()
    key = cell.key()
    scored = _scored(cell, parts, checkpoint_of(out, key), device)
    found = {
        protocol: {"epoch": epoch, **_aucs(scores, parts.classes, cell.seed)}
        for protocol, (epoch, scores) in scored.items()
    }
    return {
        **cell.described(),
        "key": key,
        "counts": [len(parts.train), len(parts.validation), len(parts.test.labels)],
        "found": found,
        "seconds": round(time.monotonic() - started, 1),  # of this process
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


def summary(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield lines for each cell: the AUC of each score without a model, or of each protocol."""
    for row in rows:
        size = f"ngf {row['size']['ngf']}, {row['size']['epochs']} epochs"
        what = f"{row['case']:<10} {row['method']:<14} seed {row['seed']}, {size}"
        for protocol, found in row["found"].items():
            for score, estimate in found["auc"].items():
                name = f"{protocol} {score}"
                value = "not defined" if estimate["auc"] is None else f"{estimate['auc']:.3f}"
                yield f"{what}  {name:<40} {value}"
    yield "reference_2019 and reference_2019_shuffled let the test's labels leak"


def share_of(count: int, share: float) -> NDArray[np.intp]:
    """Return a share of `count` rows, one at least, evenly spread."""
    return evenly_spaced(np.arange(count), max(1, round(share * count)))


def runner_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that the runners share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="where the cells are kept")
    methods = (NO_METHOD, *METHODS)
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_size_options(parser)
    return parser


def add_size_options(parser: argparse.ArgumentParser, left_out: Collection[str] = ()) -> None:
    """Add an option for each field of `Size`, except those that the command does not use."""
    for name, value in vars(Size()).items():
        if name not in left_out:
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)


def size_of(arguments: argparse.Namespace) -> Size:
    """Return the size of the runs by the options of `add_size_options`."""
    return Size(**{name: v for name, v in vars(arguments).items() if name in vars(Size())})


def planned(arguments: argparse.Namespace, cases: Sequence[str], data: str) -> Iterator[Cell]:
    """Yield the chosen cells; those without a method have seed 0 and one protocol."""
    size = size_of(arguments)
    for seed, case, method in product(arguments.seeds, cases, arguments.methods):
        if method == NO_METHOD:
            yield Cell(case, method, 0, size, (HONEST,), data)
        else:
            yield Cell(case, method, seed, size, tuple(arguments.protocols), data)


def _scored(
    cell: Cell, parts: Parts, checkpoint: Path, device: torch.device
) -> dict[Protocol, tuple[int, WindowScores]]:
    """Return the best epoch and its scores, by protocol; epoch 0 of scores without training."""
    if cell.method == NO_METHOD:
        return {HONEST: (0, _reference_lines(parts))}
    found = run_protocols(
        settings_of(cell.method, cell.size, cell.seed),
        parts.train,
        load_validation(parts.validation, cell.seed, labelled=None),
        parts.test,
        cell.protocols,
        checkpoint,
        device,
    )
    return {protocol: (picked.epoch, picked.scores) for protocol, picked in found.items()}


def _reference_lines(parts: Parts) -> WindowScores:
    store = ArrayStore(parts.train.folder, TEST, parts.test.patches)
    return parts.test.scored(without_model(store, parts.train))


def _aucs(scores: WindowScores, classes: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Return `auc`, of each score over all abnormal patches, and `classes`, the same by class."""
    table = auc_table(scores, classes, SAMPLES, seed)
    by_class = {
        name: {score: asdict(row[name]) for score, row in table.items()}
        for name in (*classes, OVERALL)
    }
    return {"auc": by_class.pop(OVERALL), "classes": by_class}
