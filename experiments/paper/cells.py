"""Cells of the result tables: one training each, scored by every protocol, and the reference lines.

A cell is a case, a method and a seed. `cells.jsonl` has a line for each finished cell, with its
settings (`experiments.paper.cell_runner`). `experiments.paper.page` makes tables of the cells, and
`experiments.paper.log_cells` logs them to MLflow.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from experiments.paper.protocols import Protocol
from pipeline.common.files import code_digest, digest, write_atomically
from pipeline.models.interface import method_of
from pipeline.settings.methods import OPTIONS, WITHOUT_NETWORKS, MethodName
from pipeline.settings.model import LAMBDAS, LossSettings, ModelSettings
from pipeline.training.loop import TrainSettings

CELLS = "cells.jsonl"
SEEDS = (0, 1, 2)
NO_METHOD: Final = "none"  # of a cell with the scores that need no model
CIFAR = "cifar10"  # `Cell.data` of Table I begins with it (`table1.data_name`)
METHODS = tuple(name for name in get_args(MethodName) if name not in WITHOUT_NETWORKS)
PROTOCOLS = get_args(Protocol)


@dataclass(frozen=True)
class Size:
    """The size of a run.

    Attributes:
        ngf: width of the first layers, of ndf too.
        latent_dim, epochs, batch_size, learning_rate: of the training.
        search_steps: of AnoGAN's search.
        share: of the training and validation patches that are used.
        test_share: of the test patches that are.
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
    """One training, or the scores without a model of a case.

    Attributes:
        case: the class left out, or the name of the set of patches.
        data: of Table I the name of the images (`experiments.paper.table1.data_name`), of Table II
            the digest of the patches (`experiments.paper.table2.patches_digest`).
    """

    case: str
    method: MethodName | Literal["none"]
    seed: int
    size: Size
    protocols: tuple[Protocol, ...] = PROTOCOLS
    data: str = CIFAR

    def described(self) -> dict[str, Any]:
        """Return the cell as a line of `cells.jsonl` has it."""
        described: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return described

    def is_in(self, rows: Iterable[dict[str, Any]]) -> bool:
        """Return whether one of the rows is of this cell."""
        described = self.described()
        return any({name: row[name] for name in described} == described for row in rows)

    def key(self) -> str:
        """Return the digest of all that decides the figures of the cell."""
        if self.method == NO_METHOD:
            code = code_digest(["pipeline.evaluation"])
            return digest([code, self.described()])
        settings = settings_of(self.method, self.size, self.seed)
        return digest([settings.key(self.data, 1), self.described()])


def settings_of(method: MethodName, size: Size, seed: int) -> TrainSettings:
    """Return the settings of a cell's training."""
    model = ModelSettings(
        ngf=size.ngf,
        ndf=size.ngf,
        batch_size=size.batch_size,
        learning_rate=size.learning_rate,
        beta1=0.5,
        beta2=0.999,
        score_lambda=0.9,
        method=method,
    )
    known = method_of(model)
    if "search_steps" in OPTIONS[method]:
        model = replace(model, search_steps=size.search_steps)
    weights = {name: float(known.lambdas.get(name, 0)) for name in LAMBDAS}
    losses = LossSettings(**weights, latent_dim=size.latent_dim)
    return TrainSettings(model, losses, size.epochs, seed)


def read_cells(out: Path) -> list[dict[str, Any]]:
    """Return the rows of the finished cells in the folder of a runner."""
    return read_rows(out / CELLS)


def add_cell(out: Path, row: dict[str, Any]) -> None:
    """Add the row of a finished cell, and remove its checkpoint."""
    write_rows(out / CELLS, [*read_cells(out), row])
    checkpoint_of(out, row["key"]).unlink(missing_ok=True)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines; none if there is no file.

    The oldest rows do not name their images; these are `CIFAR`.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [{"data": CIFAR, **json.loads(line)} for line in lines]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of JSON lines, which is whole at any moment."""
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def checkpoint_of(out: Path, key: str) -> Path:
    """Return the path of the state from which an interrupted cell resumes."""
    return out / "unfinished" / f"{key[:16]}.pt"
