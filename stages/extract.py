"""Stage `extract`: cut every scan into patches, in HDF5 shards per split."""

from pipeline.catalogue import read_catalogue
from pipeline.extraction import describe, extract_patches
from pipeline.settings import load_settings
from pipeline.sources.registry import open_source
from stages.entry import PATCHES, SCANS, run_stage


def main() -> None:
    """Write data/patches."""
    settings = load_settings()
    source = open_source(settings.scans, SCANS)
    print(describe(extract_patches(PATCHES, read_catalogue(SCANS), source, settings.extract)))


if __name__ == "__main__":
    run_stage(main)
