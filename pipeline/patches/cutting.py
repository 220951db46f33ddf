"""Cutting one shard: extraction's unit of work, done in this process or by a Ray worker.

Memory holds one scan, a few hundred of its windows, and the columns of one shard: less than 1 GiB
with scans of 2000x1500 pixels, Python and the libraries included.
"""

import errno
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline.common.errors import InputError
from pipeline.common.files import code_digest, current_digest, digest
from pipeline.common.names import IGNORED_VALIDATION, TRAIN, VALIDATION, Image, Patches
from pipeline.patches.kept_windows import KeptWindows
from pipeline.patches.shard_file import (
    BLOCK_ROWS,
    FORMAT,
    Shard,
    ShardAttributes,
    ShardWriter,
    rows_in,
)
from pipeline.patches.windows import keep_ignored, keep_normal, keep_windows, window_pixels
from pipeline.scans.bad_input import BadInput
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.images import PIXEL_RULE
from pipeline.scans.scan import Scan, ScanSource
from pipeline.settings.windows import WindowRule

# The modules that decide a shard's bytes, in addition to the source's own module.
DECIDING = (
    "pipeline.scans.images",
    "pipeline.scans.image_limits",
    "pipeline.patches.cutting",
    "pipeline.patches.shard_file",
    "pipeline.scans.classes",
    "pipeline.scans.sources.annotated_source",
    "pipeline.scans.sources.coco_files",
    "pipeline.scans.sources.folders",
    "pipeline.scans.sources.masks",
    "pipeline.scans.sources.yolo_names",
    "pipeline.patches.windows",
)

LEARNT = (TRAIN, VALIDATION)  # splits that hold normal windows only


@dataclass(frozen=True)
class Recipe:
    """The source, rules and digests that all shards of an extraction share.

    Attributes:
        source: reads the scans.
        rule: the rule by which windows are cut, kept and labelled.
        channels: number of channels that every scan must have.
        channels_of: the file that gave the number of channels.
        params_digest: digest of the parameters that decide how the source reads (`source_params`).
        code: digest of the modules that decide the bytes.
        folder: absolute folder of the shards.
        root: absolute folder that the scans' paths are relative to.
    """

    source: ScanSource
    rule: WindowRule
    channels: int
    channels_of: str
    params_digest: str
    code: str
    folder: str
    root: str

    def name(self, split: str, rows: Sequence[CatalogueRow]) -> str:
        """Return a shard's name without suffix: its split, and a digest of scans and recipe."""
        scans = [[row.scan_id, row.classes, row.digests] for row in rows]
        made_from = [FORMAT, scans, asdict(self.rule), self.channels, self.params_digest, self.code]
        return f"{split}-{digest(made_from)[:20]}"


@dataclass(frozen=True)
class ScanResult:
    """Result of cutting one scan.

    Attributes:
        windows: number of windows of each class in the shard.
        grazing, background: number of windows left out for this reason.
        skipped: why the whole scan was left out; None if it was cut.
    """

    scan_id: str
    file: str
    digests: tuple[str, ...]
    windows: dict[str, int]
    grazing: int = 0
    background: int = 0
    skipped: str | None = None


@dataclass(frozen=True)
class ShardResult:
    """Result of cutting one shard.

    Attributes:
        split: the split of all its scans.
        file: the shard's file name in the recipe's folder; no such file if all scans are bad.
        windows: number of windows in the shard.
        scans: the result of each scan.
    """

    split: str
    file: str
    windows: int
    scans: tuple[ScanResult, ...]

    @property
    def bad(self) -> list[BadInput]:
        """The scans that were left out."""
        return [BadInput(scan.file, scan.skipped) for scan in self.scans if scan.skipped]


def cut_shard(recipe: Recipe, split: str, rows: Sequence[CatalogueRow]) -> ShardResult:
    """Write the shard of `rows`, unless an earlier run left it complete.

    Scans that cannot be used are left out, and reported in the result. The shard is then named by
    the remaining scans, so every later run tries the others again: their files may be repaired.

    Raises:
        InputError: the disk is full, or the folder of the scans is gone.
    """
    with disk_errors_in_one_line(recipe.folder):
        finished = _finished(recipe, split, rows)
        if finished:
            return finished
        folder = Path(recipe.folder)
        with chdir(recipe.root), ShardWriter(folder, recipe.rule.size, recipe.channels) as writer:
            scans = tuple(_add_scan(writer, recipe, split, row) for row in rows)
            kept = [row for row, scan in zip(rows, scans, strict=True) if scan.skipped is None]
            file = f"{recipe.name(split, kept)}.h5"
            if kept:
                sources = digest([[row.scan_id, row.digests[0]] for row in kept])
                attributes = ShardAttributes(
                    split, asdict(recipe.rule), recipe.channels, PIXEL_RULE, sources, recipe.code
                )
                writer.finish(folder / file, attributes)
            return ShardResult(split, file, len(writer), scans)


@contextmanager
def disk_errors_in_one_line(folder: Path | str) -> Iterator[None]:
    """Turn an error of the disk during a `with` block into an `InputError` about the folder."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}): "
            f"{'make room' if full else 'make it a writable folder'} and run `dvc repro` again; "
            "finished shards are kept"
        ) from None


def _finished(recipe: Recipe, split: str, rows: Sequence[CatalogueRow]) -> ShardResult | None:
    """Return the result of an earlier run for exactly these scans; None if missing or damaged."""
    path = Path(recipe.folder) / f"{recipe.name(split, rows)}.h5"
    if not path.exists():
        return None
    try:
        shard = Shard(path)
        shard.verify()
    except InputError:
        return None
    classes: list[str] = shard.about["classes"]
    counts = np.zeros((len(rows), len(classes)), dtype=np.int64)
    np.add.at(counts, (shard.column("scans"), shard.column("labels")), 1)
    left_out = shard.column("left_out").tolist()
    shard.close()
    scans = []
    for row, found, others in zip(rows, counts.tolist(), left_out, strict=True):
        windows = {name: n for name, n in sorted(zip(classes, found, strict=True)) if n}
        scans.append(ScanResult(row.scan_id, row.files[0], row.digests, windows, *others))
    return ShardResult(split, path.name, len(shard), tuple(scans))


def _add_scan(writer: ShardWriter, recipe: Recipe, split: str, row: CatalogueRow) -> ScanResult:
    file = row.files[0]
    try:
        scan = recipe.source.read(row.entry())
        _require_unchanged(row)
        _require_channels(scan, recipe)
        windows = _keep(scan, recipe.rule, split, row)
    except InputError as error:
        if not Path(file).parent.is_dir():
            raise InputError(
                f"{Path(file).parent}: the folder is gone: bring it back and run `dvc repro` "
                "again; finished shards are kept"
            ) from None
        reason = str(error).removeprefix(f"{file}: ")
        return ScanResult(row.scan_id, file, row.digests, {}, skipped=reason)
    writer.add_scan(row.scan_id, windows, _pieces(scan.image, windows, recipe.rule))
    counts = dict(sorted(Counter(windows.labels).items()))
    return ScanResult(row.scan_id, file, row.digests, counts, windows.grazing, windows.background)


def _keep(scan: Scan, rule: WindowRule, split: str, row: CatalogueRow) -> KeptWindows:
    if split == IGNORED_VALIDATION:
        return keep_ignored(scan, rule)
    windows = keep_windows(scan, rule)
    if split in LEARNT and row.classes:
        return keep_normal(windows)  # none is left if a threat fills the scan
    if not windows.labels:
        raise InputError(
            f"no window is left: {windows.background} are background and {windows.grazing} graze a "
            "threat: lower extract.min_foreground or extract.min_threat_share, or take it out"
        )
    return windows


def _pieces(image: Image, windows: KeptWindows, rule: WindowRule) -> Iterator[Patches]:
    rows = rows_in(BLOCK_ROWS, rule.size, image.shape[2])  # in memory at a time: 3 MB
    for start in range(0, len(windows.origins), rows):
        yield window_pixels(image, windows.origins[start : start + rows], rule)


def _require_unchanged(row: CatalogueRow) -> None:
    """Refuse a scan with other files than the catalogue's digests, which name its shard."""
    for file, expected in zip(row.files, row.digests, strict=False):  # last may come the records'
        if current_digest(Path(file)) != expected:
            raise InputError(f"{file}: changed since the stage scans read it: run `dvc repro`")


def _require_channels(scan: Scan, recipe: Recipe) -> None:
    found = scan.image.shape[2]
    if found != recipe.channels:
        raise InputError(
            f"{found} channels, but {recipe.channels_of} has {recipe.channels}: "
            "a set has one number of channels, so take one of the two kinds out"
        )


def deciding_code(source: ScanSource) -> str:
    """Return the digest of the modules that decide a shard's bytes."""
    return code_digest([*DECIDING, type(source).__module__])
