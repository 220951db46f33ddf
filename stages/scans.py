"""Stage `scans`: generate or find the scans, and give each its split."""

from pathlib import Path

from pipeline.bad_input import settle
from pipeline.bags import bag_names
from pipeline.catalogue import describe, write_catalogue
from pipeline.settings import load_settings
from pipeline.sources.embedded.coco import generate
from pipeline.sources.registry import GENERATED, open_source
from pipeline.splits import split_scans
from pipeline.survey import survey, write_near_duplicates
from stages.entry import SCANS

NEAR_DUPLICATES = "near_duplicates.csv"


def main() -> None:
    """Write data/scans."""
    settings = load_settings().scans
    if settings.source == "embedded":
        generate(SCANS / GENERATED, settings.seed, settings.count)
    source = open_source(settings, SCANS)
    listing = source.listing()
    found = survey(source, listing.entries)
    settle([*listing.bad, *found.bad], settings.bad_input)
    bags = bag_names(found.entries, settings.group, Path(settings.folder))
    splits = split_scans(found.entries, settings, settings.seed, bags)
    print(describe(write_catalogue(SCANS, found.entries, splits)))
    if settings.group:
        print(f"{len(bags)} of {len(found.entries)} scans are in {len(set(bags.values()))} bags")
    near = write_near_duplicates(SCANS / NEAR_DUPLICATES, found, splits)
    print(f"{near} pairs of near-duplicates across splits: {SCANS / NEAR_DUPLICATES}")
