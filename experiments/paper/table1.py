"""CIFAR-10 (Table I): each class in turn is abnormal, for each method, under each protocol.

    python -m experiments.paper.table1 --data path/to/cifar10 --out work/table1 \
        [--ngf 64] [--epochs 15]

One training gives the figures of all three protocols (`experiments.paper.reference_protocol`). In
the two reference protocols the test's labels leak. `--methods none` runs the scores that need no
model. `experiments.paper.cells` defines cells, and `experiments.paper.cell_runner` runs them.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.array_store import ArrayStore
from experiments.paper.cell_runner import (
    Parts,
    planned,
    run_cells,
    runner_parser,
    share_of,
    size_of,
)
from experiments.paper.cells import CIFAR, Size
from experiments.paper.reference_protocol import LabelledTest
from experiments.run import run_main
from pipeline.common.files import digest
from pipeline.common.names import NORMAL, TEST, TRAIN, VALIDATION, Patches
from pipeline.scans.sources.cifar10 import CLASSES, SIDE, Cifar10Source
from pipeline.scans.splits import split_scans
from pipeline.settings.scans import SplitShares

SHARES = SplitShares(validation=0.15, test_normal=0.25, labelled_validation=0.0)
# The start of the digest of the JPEG copies that the cells in `cells/` are of.
JPEG_COPIES = "80a7b6a9"


def data_name(folder: Path) -> str:
    """Return `CIFAR` for the JPEG copies that the kept cells are of, else `CIFAR` with a digest.

    The digest is of the names and sizes of the image files, not of their contents.
    """
    entries = Cifar10Source(folder, CLASSES[0]).listing().entries
    paths = sorted({path for entry in entries for path in entry.files})
    sizes = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]
    name = digest(sizes)[: len(JPEG_COPIES)]
    return CIFAR if name == JPEG_COPIES else f"{CIFAR}-{name}"


@dataclass
class Cifar:
    """CIFAR-10 as the `cifar10` source reads it; images are read once for all cases."""

    folder: Path
    size: Size
    images: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def case(self, abnormal_class: str) -> Parts:
        """Return training and validation normals, and the test part."""
        source = Cifar10Source(self.folder, abnormal_class)
        entries = {entry.scan_id: entry for entry in source.listing().entries}
        parts: dict[str, list[str]] = {TRAIN: [], VALIDATION: [], TEST: []}
        for scan_id, split in split_scans(list(entries.values()), SHARES, 0, {}).items():
            parts[split].append(scan_id)
        shares = {TRAIN: self.size.share, VALIDATION: self.size.share, TEST: self.size.test_share}
        used = {
            split: [ids[row] for row in share_of(len(ids), shares[split])]
            for split, ids in parts.items()
        }
        for scan_id in (scan_id for ids in used.values() for scan_id in ids):
            if scan_id not in self.images:
                self.images[scan_id] = source.read(entries[scan_id]).image
        found = {split: self._stack(ids) for split, ids in used.items()}
        labels = np.array([(entries[i].classes or (NORMAL,))[0] for i in used[TEST]])
        train, validation = (ArrayStore(self.folder, s, found[s]) for s in (TRAIN, VALIDATION))
        return Parts(train, validation, LabelledTest(found[TEST], labels, np.array(used[TEST])))

    def _stack(self, ids: list[str]) -> Patches:
        images = [self.images[scan_id] for scan_id in ids]
        return np.stack(images) if images else np.empty((0, SIDE, SIDE, 3), dtype=np.uint8)


def _arguments() -> argparse.Namespace:
    parser = runner_parser("CIFAR-10, one class left out, all methods")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10, as scans.folder")
    parser.add_argument("--cases", nargs="+", choices=CLASSES, default=CLASSES)
    return parser.parse_args()


def main() -> None:
    """Run the missing cells, then print a line for each cell."""
    arguments = _arguments()
    cells = planned(arguments, arguments.cases, data_name(arguments.data))
    data = Cifar(arguments.data, size_of(arguments))
    run_cells(cells, data.case, arguments.out, torch.device(arguments.device))


if __name__ == "__main__":
    run_main(main)
