"""CIFAR-10 (Table I): every class left out in turn, by each method, under each protocol.

    python -m benchmarks.table1 --data path/to/cifar10 --out work/table1 [--ngf 64] [--epochs 15]

One training gives the figures of all three protocols (`pipeline.reference_protocol`); those of the
two reference ones let the test's labels leak. Needs torch, and neither Ray, MLflow nor DVC. A cell
is a case, a method and a seed; `cells.jsonl` has a line for each that is done, with what it was run
with. Killed, it goes on from the last epoch; what is done is not done again.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.evaluation import ANOMALY
from pipeline.files import digest, write_whole
from pipeline.metrics import auc_by_scan
from pipeline.models.interface import LAMBDAS, method_of
from pipeline.models.registry import MethodName
from pipeline.models.settings import LossSettings, ModelSettings
from pipeline.patch_store import PatchStore
from pipeline.protocols import Protocol
from pipeline.reference_protocol import LabelledTest, run_protocols
from pipeline.scoring import Patches
from pipeline.selection import load_validation
from pipeline.sources.cifar10 import CLASSES, SIDE, Cifar10Source
from pipeline.splits import TEST, TRAIN, VALIDATION, SplitShares, split_scans
from pipeline.training import TrainSettings
from pipeline.windows import NORMAL

CELLS = "cells.jsonl"
SHARES = SplitShares(validation=0.15, test_normal=0.25, labelled_validation=0.0)
SAMPLES = 200  # resamples behind an interval


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes:
        ngf: width of the first layers, of ndf too.
        latent_dim, epochs, batch_size, learning_rate: of the training.
        search_steps: of AnoGAN's search.
        share: of the training and validation images that are used.
        test_share: of the test images that are.
    """

    ngf: int = 64
    latent_dim: int = 100
    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 2e-3
    search_steps: int = 500
    share: float = 1.0
    test_share: float = 1.0


@dataclass(frozen=True)
class Cell:
    """One training."""

    case: str
    method: MethodName
    seed: int
    size: Size
    protocols: tuple[Protocol, ...] = get_args(Protocol)

    def described(self) -> dict[str, Any]:
        """As a line of `cells.jsonl` has it."""
        described: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return described

    def settings(self) -> TrainSettings:
        """What is trained."""
        size = self.size
        model = ModelSettings(
            ngf=size.ngf,
            ndf=size.ngf,
            batch_size=size.batch_size,
            learning_rate=size.learning_rate,
            beta1=0.5,
            beta2=0.999,
            score_lambda=0.9,
            method=self.method,
        )
        method = method_of(model)
        if "search_steps" in method.options:
            model = replace(model, search_steps=size.search_steps)
        weights = {name: float(method.lambdas.get(name, 0)) for name in LAMBDAS}
        losses = LossSettings(**weights, latent_dim=size.latent_dim)
        return TrainSettings(model, losses, size.epochs, self.seed)


class ArrayStore(PatchStore):
    """Patches of a split held in memory, read like those of shards."""

    def __init__(self, folder: Path, split: str, patches: Patches) -> None:
        self.folder, self.split, self.patches = folder, split, patches
        self.side, self.channels = patches.shape[1], patches.shape[3]

    def __len__(self) -> int:
        return len(self.patches)

    def read(self, start: int, stop: int) -> Patches:
        """Patches `start` to `stop` as (N, H, W, C) uint8."""
        return self.patches[start:stop]


@dataclass
class Cifar:
    """CIFAR-10 as the `cifar10` source reads it; images are read once for all cases."""

    folder: Path
    size: Size
    images: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def case(self, abnormal_class: str) -> tuple[ArrayStore, ArrayStore, LabelledTest]:
        """Training and validation normals, and the test part."""
        source = Cifar10Source(self.folder, abnormal_class)
        entries = {entry.scan_id: entry for entry in source.listing().entries}
        parts: dict[str, list[str]] = {TRAIN: [], VALIDATION: [], TEST: []}
        for scan_id, split in split_scans(list(entries.values()), SHARES, 0, {}).items():
            parts[split].append(scan_id)
        shares = {TRAIN: self.size.share, VALIDATION: self.size.share, TEST: self.size.test_share}
        used = {split: _some(ids, shares[split]) for split, ids in parts.items()}
        for scan_id in (scan_id for ids in used.values() for scan_id in ids):
            if scan_id not in self.images:
                self.images[scan_id] = source.read(entries[scan_id]).image
        found = {split: self._stack(ids) for split, ids in used.items()}
        labels = np.array([(entries[i].classes or (NORMAL,))[0] for i in used[TEST]])
        train, validation = (ArrayStore(self.folder, s, found[s]) for s in (TRAIN, VALIDATION))
        return train, validation, LabelledTest(found[TEST], labels, np.array(used[TEST]))

    def _stack(self, ids: list[str]) -> Patches:
        images = [self.images[scan_id] for scan_id in ids]
        return np.stack(images) if images else np.empty((0, SIDE, SIDE, 3), dtype=np.uint8)


def run_cell(cell: Cell, data: Cifar, out: Path, device: torch.device) -> dict[str, Any]:
    """Train and score one cell, from where it was left."""
    settings = cell.settings()
    train, validation, test = data.case(cell.case)
    key = digest([settings.key("cifar10", 1), cell.described()])
    checkpoint = out / "unfinished" / f"{key[:16]}.pt"
    print(f"{cell.case}, {cell.method}, seed {cell.seed}", flush=True)
    started = time.monotonic()
    normals = load_validation(validation, cell.seed, labelled=None)
    found = run_protocols(settings, train, normals, test, cell.protocols, checkpoint, device)
    row: dict[str, Any] = {
        **cell.described(),
        "key": key,
        "counts": [len(train), len(validation), len(test.labels)],
        "found": {},
        "seconds": round(time.monotonic() - started, 1),  # of this process
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
    for protocol, picked in found.items():
        row["found"][protocol] = {
            "epoch": picked.epoch,
            "auc": {
                name: asdict(auc_by_scan(values, ~test.normal, test.scan_ids, SAMPLES, cell.seed))
                for name, values in picked.scores.scores.items()
            },
        }
    return row


def read_cells(out: Path) -> list[dict[str, Any]]:
    """The cells that are done."""
    path = out / CELLS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def add_cell(out: Path, row: dict[str, Any]) -> None:
    """Write one more; the file is whole at any moment."""
    rows = [*read_cells(out), row]
    write_whole(out / CELLS, "".join(json.dumps(each) + "\n" for each in rows).encode())
    (out / "unfinished" / f"{row['key'][:16]}.pt").unlink(missing_ok=True)


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Mean and spread over seeds of the AUC of each case, by method, protocol and size."""
    cases = [case for case in CLASSES if any(row["case"] == case for row in rows)]
    yield "".join(
        [f"{'AUC, mean over seeds (lowest to highest)':<60}", *(f"{c:>20}" for c in cases)]
    )
    groups = sorted({(row["method"], json.dumps(row["size"])) for row in rows})
    for (method, size), protocol in product(groups, get_args(Protocol)):
        cells = []
        for case in cases:
            found = [
                row["found"][protocol]["auc"][ANOMALY]["auc"]
                for row in rows
                if (row["method"], json.dumps(row["size"]), row["case"]) == (method, size, case)
                and protocol in row["found"]
            ]
            text = f"{np.mean(found):.3f} ({min(found):.3f} {max(found):.3f})" if found else ""
            cells.append(f"{text:>20}")
        ngf, epochs, share = (json.loads(size)[name] for name in ("ngf", "epochs", "share"))
        what = f"{method} ngf {ngf} epochs {epochs} share {share:g}"
        yield "".join([f"{what:<40}{protocol:<24}", *cells])
    yield "reference_2019 and reference_2019_shuffled let the test's labels leak"


def _some(ids: list[str], share: float) -> list[str]:
    """A share of them, evenly spread."""
    count = max(1, round(share * len(ids)))
    return [ids[i] for i in np.linspace(0, len(ids) - 1, count).astype(int)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CIFAR-10, one class left out, all methods")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10, as scans.folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", choices=CLASSES, default=CLASSES)
    methods = get_args(MethodName)
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    protocols = get_args(Protocol)
    parser.add_argument("--protocols", nargs="+", choices=protocols, default=protocols)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, value in vars(Size()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser.parse_args()


def main() -> None:
    """Run what is not done yet, then print the table."""
    given = _arguments()
    size = Size(**{name: getattr(given, name) for name in vars(Size())})
    data = Cifar(given.data, size)
    for seed, case, method in product(given.seeds, given.cases, given.methods):
        cell = Cell(case, method, seed, size, tuple(given.protocols))
        described = cell.described()
        done = [{name: row[name] for name in described} for row in read_cells(given.out)]
        if described not in done:
            add_cell(given.out, run_cell(cell, data, given.out, torch.device(given.device)))
    print("\n".join(table(read_cells(given.out))))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
