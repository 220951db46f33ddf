"""The catalogue: every scan with its files, digests, classes and split, written once.

`scans.jsonl` holds a line per scan; later stages take each scan's split from it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import file_digest, write_atomically
from pipeline.common.json_records import parse_record
from pipeline.common.names import SPLITS
from pipeline.scans.scan import ScanEntry

CATALOGUE = "scans.jsonl"
REDO = "run `dvc repro -sf scans`"


@dataclass(frozen=True)
class CatalogueRow:
    """One scan of the catalogue.

    Attributes:
        scan_id: unique within the catalogue.
        split: one of `pipeline.common.names.SPLITS`.
        classes: the scan's abnormal classes, sorted; empty for a normal scan.
        files: paths as the source gave them.
        digests: SHA-256 of each file, in hex; last, the digest of the scan's records if they are in
            a file that holds the records of several scans.
    """

    scan_id: str
    split: str
    classes: tuple[str, ...]
    files: tuple[str, ...]
    digests: tuple[str, ...]

    def entry(self) -> ScanEntry:
        """Return the entry with which the source reads this scan."""
        return ScanEntry(self.scan_id, tuple(Path(file) for file in self.files), self.classes)


def write_catalogue(
    folder: Path, entries: Sequence[ScanEntry], splits: dict[str, str]
) -> list[CatalogueRow]:
    """Digest every file and write `folder`/scans.jsonl, completely or not at all.

    Entries without a split in `splits` are left out.
    """
    entries = [entry for entry in entries if entry.scan_id in splits]
    # Many scans may share a file, so digest each file once.
    files = dict.fromkeys(path for entry in entries for path in entry.files)
    reading = terminal.progress("digests", len(files), "file", files)
    digests = {path: file_digest(path) for path in reading}
    rows = [
        CatalogueRow(
            entry.scan_id,
            splits[entry.scan_id],
            entry.classes,
            tuple(str(path) for path in entry.files),
            (*(digests[path] for path in entry.files), *filter(None, [entry.records])),
        )
        for entry in entries
    ]
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    write_atomically(folder / CATALOGUE, lines.encode())
    return rows


def read_catalogue(folder: Path) -> list[CatalogueRow]:
    """Read the rows that `write_catalogue` wrote, in order.

    Raises:
        InputError: the catalogue is missing, or a line is not a row of the catalogue.
    """
    path = folder / CATALOGUE
    if not path.is_file():
        raise InputError(f"{path}: no such file: run `dvc repro scans`")
    lines = path.read_bytes().splitlines()
    kind = TypeAdapter(CatalogueRow)
    rows = [
        parse_record(kind, line, f"{path}, line {number}", REDO)
        for number, line in enumerate(lines, 1)
    ]
    counts = Counter(row.scan_id for row in rows)
    for row in rows:
        whole = row.split in SPLITS and row.files and len(row.digests) >= len(row.files)
        if not whole or counts[row.scan_id] > 1:
            raise InputError(
                f"{path}: scan {row.scan_id!r}: expected it once, in one of {SPLITS}, with a "
                f"digest for each file: {REDO}"
            )
    return rows
