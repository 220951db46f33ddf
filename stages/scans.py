"""Stage `scans`: generate or find the scans, account for every file, and split whole scans."""

from pathlib import Path

from pipeline.account import ACCOUNT, account_of
from pipeline.bad_input import settle
from pipeline.bags import bag_names, describe_bags
from pipeline.catalogue import write_catalogue
from pipeline.files import write_whole
from pipeline.settings import load_settings
from pipeline.sources.classes import ClassMap
from pipeline.sources.embedded.coco import generate
from pipeline.sources.registry import GENERATED, open_source
from pipeline.splits import describe_parts, split_scans, with_parts
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
    folder = Path(settings.folder)
    ClassMap(settings.classes).require_used(listing.names, folder)
    entries = with_parts(found.entries, settings.parts, keep=settings.keeps_own_parts)
    bags = bag_names(entries, settings.group, folder)
    splits = split_scans(entries, settings, settings.seed, bags)
    rows = write_catalogue(SCANS, entries, splits)
    near = write_near_duplicates(SCANS / NEAR_DUPLICATES, found, splits)
    kept = any(entry.part for entry in entries)
    notes = [
        *describe_parts(found.entries, settings, splits, kept=kept),
        *describe_bags(bags, len(entries), settings.group),
        f"{near} pairs of near-duplicates across splits: {SCANS / NEAR_DUPLICATES}",
    ]
    text = account_of(listing, found, rows, source.meaning, notes)
    write_whole(SCANS / ACCOUNT, text.encode())
    print(text, end="")
