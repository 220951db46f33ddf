"""The folder of patches: shards, a result for each scan, and a manifest that is written last."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.common.errors import InputError
from pipeline.common.files import digest, remove_unfinished, write_atomically
from pipeline.common.names import IGNORED_VALIDATION, LABELLED_TRAINING, SPLITS
from pipeline.common.tables import text_table
from pipeline.patches.cutting import ScanResult, ShardResult, disk_errors_in_one_line
from pipeline.patches.manifest import MANIFEST, write_manifest
from pipeline.patches.shard_file import FORMAT

SCAN_RESULTS = "scan_results.jsonl"  # in the shards' folder: a line for each scan


def summarise_splits(results: Sequence[ShardResult]) -> dict[str, Any]:
    """Return the shards' part of the manifest: format, digest of the data, and the splits."""
    splits = {
        split: _split([r for r in results if r.split == split])
        for split in (*SPLITS, IGNORED_VALIDATION)
    }
    # Each shard's name is a digest of everything that decides its content. A set without labelled
    # training scans or ignored objects has the digest that it had before there were such splits.
    counted = {name: split for name, split in splits.items() if _has_scans(name, split)}
    return {"format": FORMAT, "data": digest(counted), "splits": splits}


def prepare_folder(folder: Path) -> None:
    """Make the folder; remove its manifest and unfinished files, but keep complete shards.

    Raises:
        InputError: `folder` cannot be written, or has a folder in it.
    """
    with disk_errors_in_one_line(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                raise InputError(f"{path}: a folder, expected only shards: remove it")
        (folder / MANIFEST).unlink(missing_ok=True)
        remove_unfinished(folder)


def finish_folder(folder: Path, manifest: dict[str, Any], results: Sequence[ShardResult]) -> None:
    """Remove all other files, write the result of each scan and, last, the manifest.

    Raises:
        InputError: `folder` cannot be written.
    """
    shards = {result.file for result in results}  # empty ones too: a rerun then reads no scan
    lines = [
        json.dumps(_line(scan, result)) + "\n"
        for result in results
        if result.split in SPLITS  # else its scans have a line already
        for scan in result.scans
    ]
    with disk_errors_in_one_line(folder):
        for path in folder.iterdir():
            if path.name not in shards:
                path.unlink()
        write_atomically(folder / SCAN_RESULTS, "".join(lines).encode())
        write_manifest(folder, manifest)


def patches_text(manifest: dict[str, Any], seconds: float) -> str:
    """Return a text table for people: scans and windows per split and class."""
    headings = ["scans", "skipped", *manifest["classes"], "grazing", "background"]
    splits = {split: manifest["splits"][split] for split in SPLITS}
    rows = [
        [split, *(counts["classes"].get(name, counts.get(name, 0)) for name in headings)]
        for split, counts in splits.items()
        if _has_scans(split, counts)
    ]
    scans = sum(counts["scans"] for counts in splits.values())
    windows = sum(sum(counts["classes"].values()) for counts in splits.values())
    return "\n".join(
        [
            text_table(["split", *headings], rows),
            f"{scans} scans and {windows} windows, without grazing and background, in "
            f"{seconds:.1f} s: {scans / seconds:.1f} scans/s, {windows / seconds:.0f} windows/s",
        ]
    )


def _has_scans(name: str, split: dict[str, Any]) -> bool:
    """Return False for an empty split that most sets do not have."""
    return name not in (LABELLED_TRAINING, IGNORED_VALIDATION) or split["scans"] > 0


def _split(results: Sequence[ShardResult]) -> dict[str, Any]:
    scans = [scan for result in results for scan in result.scans]
    windows: Counter[str] = Counter()
    for scan in scans:
        windows.update(scan.windows)
    return {
        "scans": len(scans),
        "skipped": sum(scan.skipped is not None for scan in scans),
        "classes": dict(sorted(windows.items())),
        "grazing": sum(scan.grazing for scan in scans),
        "background": sum(scan.background for scan in scans),
        "shards": [{"file": r.file, "windows": r.windows} for r in results if r.windows],
    }


def _line(scan: ScanResult, result: ShardResult) -> dict[str, Any]:
    shard = None if scan.skipped or not result.windows else result.file
    return {"split": result.split, **asdict(scan), "shard": shard}
