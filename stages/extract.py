"""Stage `extract`: cut every scan into patches, in HDF5 shards per split."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.cluster.private_folder import remove_left_folders
from pipeline.cluster.session import ray_session
from pipeline.common import terminal
from pipeline.patches.cutting import Recipe, ShardResult
from pipeline.patches.extract_on_ray import cut_on_ray
from pipeline.patches.extraction import ShardJob, extract_patches
from pipeline.patches.folder import patches_text
from pipeline.scans.bags import bag_names
from pipeline.scans.catalogue import read_catalogue
from pipeline.scans.sources.registry import open_source
from pipeline.scans.splits import LABELS_USED
from pipeline.settings.params import load_settings, source_params
from stages.entry import PATCHES, SCANS


def main() -> None:
    """Write data/patches."""
    settings = load_settings()
    scans, rows = settings.scans, read_catalogue(SCANS)
    bags = bag_names([row.entry() for row in rows], scans.group, Path(scans.folder))
    source, params = open_source(scans, SCANS), source_params(scans)
    started = time.monotonic()
    manifest = extract_patches(
        PATCHES, rows, source, settings.extract, scans.bad_input, params, on_ray, bags
    )
    print(patches_text(manifest, time.monotonic() - started), file=terminal.out())
    remove_left_folders()  # a killed run may have left Ray's, and this one may have needed no Ray
    if scans.uses_labels:
        print(LABELS_USED, file=terminal.out())


def on_ray(recipe: Recipe, shards: Sequence[ShardJob]) -> Iterator[ShardResult]:
    """Start Ray and cut the shards on it."""
    with ray_session():
        yield from cut_on_ray(recipe, shards)
