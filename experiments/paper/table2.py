"""X-ray patches (Table II): for each method, under each protocol, with figures for each class.

    dvc repro extract
    python -m experiments.paper.table2 --patches data/patches --set generated --out work/table2

`--set` is a name for the set of scans. The patches' digest is part of a cell, so other patches make
other cells; the same patches, cut by other code, do not. Intervals resample whole scans.
`experiments.paper.cells` defines cells, and `experiments.paper.cell_runner` runs them.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch

from experiments.array_store import ArrayStore
from experiments.paper.cell_runner import (
    Parts,
    planned,
    run_cells,
    runner_parser,
    share_of,
    size_of,
)
from experiments.paper.cells import Size
from experiments.paper.reference_protocol import LabelledTest
from experiments.run import run_main
from pipeline.common.names import NORMAL, TEST, TRAIN, VALIDATION
from pipeline.patches.store import PatchSource, PatchStore, read_rows


def load_parts(folder: Path, size: Size) -> Parts:
    """Return the parts of a folder of patches that the stage `extract` wrote."""
    test = PatchStore(folder, TEST)
    rows = share_of(len(test), size.test_share)
    whole = LabelledTest.read(test)
    labelled = LabelledTest(whole.patches[rows], whole.labels[rows], whole.scan_ids[rows])
    train, validation = (store_of(folder, split, size.share) for split in (TRAIN, VALIDATION))
    classes = tuple(name for name in test.classes if name != NORMAL)
    return Parts(train, validation, labelled, classes)


def store_of(folder: Path, split: str, share: float) -> PatchSource:
    """Return the patches of a split, or a share of them held in memory."""
    store = PatchStore(folder, split)
    if share == 1:
        return store
    return ArrayStore(folder, split, read_rows(store, share_of(len(store), share)))


def patches_digest(folder: Path) -> str:
    """Return the digest of all patches of a folder, their labels and their scans, in hex.

    The manifest's digest also changes with the code that cuts the patches.
    """
    content = hashlib.sha256()
    for split in (TRAIN, VALIDATION, TEST):
        store = PatchStore(folder, split)
        for block in store.blocks():
            content.update(block.tobytes())
        content.update(json.dumps([store.labels.tolist(), store.scan_ids.tolist()]).encode())
    return content.hexdigest()


def _arguments() -> argparse.Namespace:
    parser = runner_parser("X-ray patches, all methods")
    parser.add_argument(
        "--patches", type=Path, required=True, help="folder written by the stage extract"
    )
    parser.add_argument("--set", required=True, help="what the patches are cut from: sixray, ...")
    return parser.parse_args()


def main() -> None:
    """Run the missing cells, then print a line for each cell."""
    arguments = _arguments()
    parts = load_parts(arguments.patches, size_of(arguments))
    cells = planned(arguments, [arguments.set], patches_digest(arguments.patches))
    run_cells(cells, lambda _case: parts, arguments.out, torch.device(arguments.device))


if __name__ == "__main__":
    run_main(main)
