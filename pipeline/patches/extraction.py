"""The `extract` stage as a library: it cuts scans into shards of patches.

A shard's name is a digest of its inputs, and DVC keeps the folder before a run (`persist`). So a
rerun cuts only the shards that are missing: after a kill, after a scan was added or a file was
repaired, or after a shard was damaged.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.common.files import digest
from pipeline.common.names import IGNORED_VALIDATION, LABELLED_TRAINING, NORMAL, SPLITS, VALIDATION
from pipeline.patches.cutting import Recipe, ShardResult, cut_shard, deciding_code
from pipeline.patches.folder import finish_folder, prepare_folder, summarise_splits
from pipeline.patches.manifest import LABELLED_BAGS
from pipeline.patches.shard_file import MAX_CLASSES
from pipeline.patches.shard_plan import shard_groups
from pipeline.scans.bad_input import report_bad_input
from pipeline.scans.bags import make_bags
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.scan import ScanSource
from pipeline.settings.blocks import ExtractSettings
from pipeline.settings.scans import BadInputRule

# Ray takes 5 to 10 s to start, and halves the remaining time on two cores.
WORTH_RAY_SECONDS = 30.0

ShardJob = tuple[str, Sequence[CatalogueRow]]  # a shard's split and its scans
CutMany = Callable[[Recipe, Sequence[ShardJob]], Iterator[ShardResult]]


def extract_patches(
    folder: Path,
    rows: Sequence[CatalogueRow],
    source: ScanSource,
    settings: ExtractSettings,
    bad_input: BadInputRule = "fail",
    source_params: Mapping[str, Any] | None = None,
    parallel: CutMany | None = None,
    bags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Cut every scan of the catalogue into `folder`, shard by shard, then write the manifest.

    Args:
        folder: of the shards.
        rows: the catalogue.
        source: reads the scans.
        settings: the window rule, and the size of a shard.
        bad_input: the rule for scans that cannot be used.
        source_params: the parameters that decide how the source reads.
        parallel: cuts many shards at once, if cutting here would take long; None to cut all here.
        bags: the name of the bag of each scan that has one, by the scan's id.

    Returns:
        The manifest: settings, classes, channels, digest of the data, and for each split its
        shards, its number of scans, and its numbers of windows: of each class, left out as
        grazing, and left out as background. Also the number of labelled training bags, all of
        which have a threat.

    Raises:
        InputError: a scan cannot be used and the rule is to fail; no window is left to train on;
            a shard has too many classes; the disk is full.
    """
    prepare_folder(folder)
    recipe, jobs = plan(folder, rows, source, settings, source_params)
    results = []
    with terminal.progress("extract", sum(len(group) for _, group in jobs), "scan") as shown:
        for result in _cut_here_first(recipe, jobs, parallel):
            shown.update(len(result.scans))
            results.append(result)
    place = {(split, group[0].scan_id): number for number, (split, group) in enumerate(jobs)}
    results.sort(key=lambda result: place[result.split, result.scans[0].scan_id])
    bad = dict.fromkeys(bad for result in results for bad in result.bad)  # each once
    report_bad_input(list(bad), bad_input)
    manifest = {
        "settings": asdict(settings),
        "classes": [NORMAL, *sorted({name for row in rows for name in row.classes})],
        "channels": recipe.channels,
        LABELLED_BAGS: _labelled_bags(rows, results, bags or {}),
        **summarise_splits(results),
    }
    _require_training_windows(manifest["splits"])
    finish_folder(folder, manifest, results)
    return manifest


def plan(
    folder: Path,
    rows: Sequence[CatalogueRow],
    source: ScanSource,
    settings: ExtractSettings,
    source_params: Mapping[str, Any] | None = None,
) -> tuple[Recipe, list[ShardJob]]:
    """Return the recipe of all shards, and the split and scans of each shard.

    Raises:
        InputError: a shard would have too many classes.
    """
    channels, channels_of = _channels(rows, source)
    recipe = Recipe(
        source=source,
        rule=settings.window_rule,
        channels=channels,
        channels_of=channels_of,
        params_digest=digest(source_params),
        code=deciding_code(source),
        folder=str(folder.resolve()),
        root=str(Path.cwd()),
    )
    by_split = {split: [row for row in rows if row.split == split] for split in SPLITS}
    if source.classes.ignores:
        by_split[IGNORED_VALIDATION] = by_split[VALIDATION]
    jobs: list[ShardJob] = [
        (split, group)
        for split, rows_of_split in by_split.items()
        for group in shard_groups(rows_of_split, settings.scans_per_shard)
    ]
    _require_few_classes(jobs)
    return recipe, jobs


def _require_few_classes(jobs: Sequence[ShardJob]) -> None:
    for split, group in jobs:
        classes = {name for row in group for name in row.classes}
        if len(classes) > MAX_CLASSES:
            raise InputError(
                f"{len(classes)} abnormal classes in a shard of the {split} split, expected "
                f"{MAX_CLASSES} or fewer: lower extract.shard_scans, or join some in scans.classes"
            )


def _channels(rows: Sequence[CatalogueRow], source: ScanSource) -> tuple[int, str]:
    """Return the set's number of channels, and the file that gave it: the first readable one."""
    for row in rows:
        try:
            return source.read(row.entry()).image.shape[2], row.files[0]
        except InputError:
            continue  # reported when its shard is cut
    return 3, "none"


def _cut_here_first(
    recipe: Recipe, jobs: Sequence[ShardJob], parallel: CutMany | None
) -> Iterator[ShardResult]:
    """Cut every shard: here in order, then by `parallel` once the rest would take long."""
    started = time.monotonic()
    for done, job in enumerate(jobs, 1):
        yield cut_shard(recipe, *job)
        seconds_left = (time.monotonic() - started) / done * (len(jobs) - done)
        if parallel and seconds_left > WORTH_RAY_SECONDS:
            yield from parallel(recipe, jobs[done:])
            return


def _labelled_bags(
    rows: Sequence[CatalogueRow], results: Sequence[ShardResult], bags: Mapping[str, str]
) -> int:
    """Return the number of labelled training bags of which a scan was cut."""
    cut = {
        scan.scan_id
        for result in results
        for scan in result.scans
        if result.split == LABELLED_TRAINING and scan.skipped is None
    }
    return len(make_bags([row.entry() for row in rows if row.scan_id in cut], bags))


def _require_training_windows(splits: dict[str, dict[str, Any]]) -> None:
    for split in ("train", "validation"):
        if not splits[split]["classes"].get(NORMAL):
            raise InputError(
                f"no window is left in the {split} split: lower extract.min_foreground "
                "or add normal scans"
            )
