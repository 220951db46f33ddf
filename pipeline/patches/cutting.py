"""One shard: the unit of work of extraction, done in this process or by a Ray worker.

In memory are one scan, a few hundred of its windows, and the columns of one shard: with scans of
2000x1500 pixels, Python and the libraries included, less than 1 GiB.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.errors import InputError
from pipeline.common.files import code_digest, digest
from pipeline.common.names import TRAIN, VALIDATION, Image, Patches
from pipeline.patches.places import Places
from pipeline.patches.shard_file import FORMAT, Shard, ShardAttributes, ShardWriter
from pipeline.patches.windows import normal_places, place_windows, window_pixels
from pipeline.scans.bad_input import BadInput
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.images import PIXEL_RULE
from pipeline.scans.scan import Scan, ScanSource
from pipeline.settings.windows import WindowRule

# The modules that decide a shard's bytes, beside the source's own.
DECIDING = (
    "pipeline.scans.images",
    "pipeline.patches.cutting",
    "pipeline.patches.shard_file",
    "pipeline.scans.sources.classes",
    "pipeline.scans.sources.detections",
    "pipeline.scans.sources.folders",
    "pipeline.scans.sources.masks",
    "pipeline.scans.sources.yolo_names",
    "pipeline.patches.windows",
)

LEARNT = (TRAIN, VALIDATION)  # splits of normal windows alone
PIECE_WINDOWS = 256  # in memory at a time: 3 MB of 64x64x3


@dataclass(frozen=True)
class Recipe:
    """What all shards of an extraction are made by.

    Attributes:
        source: reads the scans.
        rule: cuts them.
        channels: of every scan.
        channels_of: the file that the number was taken from.
        reading: digest of the parameters that decide how the source reads.
        code: digest of the modules that decide the bytes.
        folder: where shards are written, absolute.
        root: what the scans' paths are relative to, absolute.
    """

    source: ScanSource
    rule: WindowRule
    channels: int
    channels_of: str
    reading: str
    code: str
    folder: str
    root: str

    @property
    def settings(self) -> dict[str, Any]:
        """The window rule as a dict, without what a subclass of it adds."""
        return {field.name: getattr(self.rule, field.name) for field in fields(WindowRule)}

    def name(self, split: str, rows: Sequence[CatalogueRow]) -> str:
        """A shard's name without its suffix: its split, and a digest of what it is made from."""
        scans = [[row.scan_id, row.classes, row.digests] for row in rows]
        made_from = [FORMAT, scans, self.settings, self.channels, self.reading, self.code]
        return f"{split}-{digest(made_from)[:20]}"


@dataclass(frozen=True)
class ScanResult:
    """What became of one scan.

    Attributes:
        windows: how many of each class are in the shard.
        grazing, background: how many were left out, and why.
        skipped: why the whole scan was left out, None where it was not.
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
    """What became of one shard.

    Attributes:
        split: of all of its scans.
        file: its name, in the recipe's folder.
        windows: how many it holds; where none is left there is no file.
        scans: what became of each.
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
    """Write the shard of `rows`, unless it is there, whole, from an earlier run.

    Scans that cannot be used are left out, and said in the result. The shard is then named after
    the others, so that every run tries again: their files may have been mended.

    Raises:
        InputError: the disk is full, or the folder of the scans is gone.
    """
    try:
        finished = _finished(recipe, split, rows)
        if finished:
            return finished
        with chdir(recipe.root):
            return _write_shard(recipe, split, rows)
    except OSError as error:
        raise InputError(
            f"{recipe.folder}: cannot be written ({error.strerror or error}): make room and run "
            "`dvc repro` again; finished shards are kept"
        ) from None


def _finished(recipe: Recipe, split: str, rows: Sequence[CatalogueRow]) -> ShardResult | None:
    """What an earlier run made of just these scans, None where that is missing or damaged."""
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
    scans = [
        ScanResult(row.scan_id, row.files[0], row.digests, _named(classes, found), *left_out)
        for row, found, left_out in zip(
            rows, counts.tolist(), shard.column("left_out").tolist(), strict=True
        )
    ]
    shard.close()
    return ShardResult(split, path.name, len(shard), tuple(scans))


def _named(classes: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    return {name: n for name, n in sorted(zip(classes, counts, strict=True)) if n}


def _write_shard(recipe: Recipe, split: str, rows: Sequence[CatalogueRow]) -> ShardResult:
    folder = Path(recipe.folder)
    with ShardWriter(folder, recipe.rule.size, recipe.channels) as writer:
        scans = tuple(_add_scan(writer, recipe, split, row) for row in rows)
        kept = [row for row, scan in zip(rows, scans, strict=True) if scan.skipped is None]
        file = f"{recipe.name(split, kept)}.h5"
        if kept:
            sources = digest([[row.scan_id, row.digests[0]] for row in kept])
            attributes = ShardAttributes(
                split, recipe.settings, recipe.channels, PIXEL_RULE, sources, recipe.code
            )
            writer.finish(folder / file, attributes)
        return ShardResult(split, file, len(writer), scans)


def _add_scan(writer: ShardWriter, recipe: Recipe, split: str, row: CatalogueRow) -> ScanResult:
    file = row.files[0]
    try:
        scan = recipe.source.read(row.entry())
        _require_channels(scan, recipe)
        places = place_windows(scan, recipe.rule)
        if split in LEARNT and row.classes:
            places = normal_places(places)  # of a threat that fills its scan, none is left
        else:
            _require_windows(places)
    except InputError as error:
        if not Path(file).parent.is_dir():
            raise InputError(
                f"{Path(file).parent}: the folder is gone: bring it back and run `dvc repro` "
                "again; finished shards are kept"
            ) from None
        reason = str(error).removeprefix(f"{file}: ")
        return ScanResult(row.scan_id, file, row.digests, {}, skipped=reason)
    writer.add_scan(row.scan_id, places, _pieces(scan.image, places, recipe.rule))
    counts = dict(sorted(Counter(places.labels).items()))
    return ScanResult(row.scan_id, file, row.digests, counts, places.grazing, places.background)


def _pieces(image: Image, places: Places, rule: WindowRule) -> Iterator[Patches]:
    for start in range(0, len(places.origins), PIECE_WINDOWS):
        yield window_pixels(image, places.origins[start : start + PIECE_WINDOWS], rule)


def _require_channels(scan: Scan, recipe: Recipe) -> None:
    found = scan.image.shape[2]
    if found != recipe.channels:
        raise InputError(
            f"{found} channels, but {recipe.channels_of} has {recipe.channels}: "
            "a set has one number of channels, so take one of the two kinds out"
        )


def _require_windows(places: Places) -> None:
    if not places.labels:
        raise InputError(
            f"no window is left: {places.background} are background and {places.grazing} graze a "
            "threat: lower extract.min_foreground or extract.min_threat_share, or take it out"
        )


def deciding_code(source: ScanSource) -> str:
    """Digest of the modules that decide a shard's bytes."""
    return code_digest([*DECIDING, type(source).__module__])
