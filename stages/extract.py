"""Stage `extract`: cut every scan into patches, in HDF5 shards per split."""

import time
from collections.abc import Iterator, Sequence

from pipeline.catalogue import read_catalogue
from pipeline.extraction import Extraction, Job, extract_patches
from pipeline.patch_folder import describe
from pipeline.ray_cluster import ray_session
from pipeline.ray_extract import cut_on_ray
from pipeline.settings import load_settings, reading_settings
from pipeline.shard_cutting import Recipe, ShardResult
from pipeline.sources.registry import open_source
from pipeline.splits import LABELS_USED
from stages.entry import PATCHES, SCANS


def main() -> None:
    """Write data/patches."""
    settings = load_settings()
    how = Extraction(
        bad_input=settings.scans.bad_input,
        reading=reading_settings(settings.scans),
        parallel=on_ray,
    )
    source = open_source(settings.scans, SCANS)
    started = time.monotonic()
    manifest = extract_patches(PATCHES, read_catalogue(SCANS), source, settings.extract, how)
    print(describe(manifest, time.monotonic() - started))
    if settings.scans.uses_labels:
        print(LABELS_USED)


def on_ray(recipe: Recipe, shards: Sequence[Job]) -> Iterator[ShardResult]:
    """Cut shards on Ray, which is started for them."""
    with ray_session():
        yield from cut_on_ray(recipe, shards)
