"""Scans to shards of patches: the whole `extract` stage, as a library."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.catalogue import CatalogueRow
from pipeline.errors import InputError
from pipeline.files import code_digest, digest
from pipeline.patch_store import FORMAT, ShardAttributes, write_manifest, write_shard
from pipeline.settings import ExtractSettings
from pipeline.sources.base import ScanSource
from pipeline.splits import SPLITS
from pipeline.windows import NORMAL, Windows, cut_windows

# The modules that decide a shard's bytes.
DECIDING = ("pipeline.images", "pipeline.windows", "pipeline.patch_store")

CutScan = tuple[CatalogueRow, Windows]


def extract_patches(
    folder: Path,
    rows: Sequence[CatalogueRow],
    source: ScanSource,
    settings: ExtractSettings,
) -> dict[str, Any]:
    """Cut every scan of the catalogue and write its split's shards, then the manifest.

    Returns:
        The manifest: settings, classes, digest of the data, and for each split its shards and
        how many windows of each class it has, left out as grazing and left out as background.

    Raises:
        InputError: a scan cannot be read or is smaller than a window, or no window is left to
            train on.
    """
    classes = (NORMAL, *sorted({name for row in rows for name in row.classes}))
    splits = {}
    with tqdm(total=len(rows), desc="windows", unit="scan") as progress:
        for split in SPLITS:
            mine = [row for row in rows if row.split == split]
            splits[split] = _write_split(folder, split, mine, source, settings, classes, progress)
    _require_training_windows(splits)
    manifest = {
        "format": FORMAT,
        "settings": asdict(settings),
        "classes": list(classes),
        "channels": 3,
        "data": digest([splits, classes, asdict(settings), code_digest(DECIDING)]),
        "splits": splits,
    }
    write_manifest(folder, manifest)
    return manifest


def describe(manifest: dict[str, Any]) -> str:
    """A table of windows per split and class, for people."""
    names = [*manifest["classes"], "grazing", "background"]
    lines = [" ".join([f"{'split':<20}", *(f"{name:>12}" for name in names)])]
    for split, counts in manifest["splits"].items():
        found = [counts["classes"].get(name, counts.get(name, 0)) for name in names]
        lines.append(" ".join([f"{split:<20}", *(f"{count:>12}" for count in found)]))
    return "\n".join([*lines, "(grazing and background windows are left out)"])


def _write_split(
    folder: Path,
    split: str,
    rows: Sequence[CatalogueRow],
    source: ScanSource,
    settings: ExtractSettings,
    classes: tuple[str, ...],
    progress: "tqdm[Any]",
) -> dict[str, Any]:
    shards: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for group in _shard_groups(rows, source, settings, progress):
        attributes = ShardAttributes(
            classes=classes,
            settings=asdict(settings),
            sources=digest([row.digests for row, _ in group]),
            code=code_digest(DECIDING),
        )
        name = f"{split}-{len(shards):05d}.h5"
        write_shard(folder / name, split, [(row.scan_id, cut) for row, cut in group], attributes)
        found = Counter(label for _, cut in group for label in cut.labels)
        counts += found
        left_out.update({"grazing": sum(cut.grazing for _, cut in group)})
        left_out.update({"background": sum(cut.background for _, cut in group)})
        shards.append({"file": name, "windows": found.total(), "sources": attributes.sources})
    return {
        "scans": len(rows),
        "classes": dict(sorted(counts.items())),
        **left_out,
        "shards": shards,
    }


def _shard_groups(
    rows: Sequence[CatalogueRow],
    source: ScanSource,
    settings: ExtractSettings,
    progress: "tqdm[Any]",
) -> Iterator[list[CutScan]]:
    """Whole scans, until a shard is full; only one shard's windows are in memory at a time."""
    group: list[CutScan] = []
    windows_in_group = 0
    for row in rows:
        cut = _cut(row, source, settings)
        group.append((row, cut))
        windows_in_group += len(cut.labels)
        progress.update()
        if windows_in_group >= settings.shard_windows:
            yield group
            group, windows_in_group = [], 0
    if group:
        yield group


def _cut(row: CatalogueRow, source: ScanSource, settings: ExtractSettings) -> Windows:
    try:
        return cut_windows(source.read(row.entry()), settings)
    except InputError as error:
        if row.files[0] in str(error):
            raise
        raise InputError(f"{row.files[0]}: {error}") from None


def _require_training_windows(splits: dict[str, dict[str, Any]]) -> None:
    for split in ("train", "validation"):
        if not splits[split]["classes"].get(NORMAL):
            raise InputError(
                f"no window is left in the {split} split: lower extract.min_foreground "
                "or add normal scans"
            )
