"""Stage `scans`: generate or find the scans, account for every file, and split whole scans."""

from pathlib import Path

from pipeline.common import terminal
from pipeline.common.files import remove_unfinished, write_atomically
from pipeline.scans.account import ACCOUNT, account_of
from pipeline.scans.bad_input import report_bad_input
from pipeline.scans.bags import bag_names, describe_bags
from pipeline.scans.catalogue import write_catalogue
from pipeline.scans.classes import ClassMap
from pipeline.scans.generated.coco import generate
from pipeline.scans.sources.registry import GENERATED, open_source
from pipeline.scans.splits import describe_parts, split_scans, with_parts
from pipeline.scans.survey import survey_scans, write_near_duplicates
from pipeline.settings.params import load_settings
from stages.entry import SCANS

NEAR_DUPLICATES = "near_duplicates.csv"


def main() -> None:
    """Write data/scans."""
    remove_unfinished(SCANS)
    settings = load_settings().scans
    if settings.source == "generated":
        generate(SCANS / GENERATED, settings.seed, settings.count)
    source = open_source(settings, SCANS)
    listing = source.listing()
    survey = survey_scans(source, listing.entries)
    report_bad_input([*listing.bad, *survey.bad], settings.bad_input)
    folder = Path(settings.folder)
    ClassMap(settings.classes).require_used(listing.names, folder)
    entries = with_parts(survey.entries, settings.parts, keep=settings.keeps_own_parts)
    bags = bag_names(entries, settings.group, folder)
    splits = split_scans(entries, settings, settings.seed, bags)
    rows = write_catalogue(SCANS, entries, splits)
    near = write_near_duplicates(SCANS / NEAR_DUPLICATES, survey, splits)
    kept = any(entry.part for entry in entries)
    notes = [
        *describe_parts(survey.entries, settings, splits, kept=kept),
        *describe_bags(bags, entries, settings.group, folder),
        f"{near} pairs of near-duplicates across splits: {SCANS / NEAR_DUPLICATES}",
    ]
    text = account_of(listing, survey, rows, source.classes.meaning, notes)
    write_atomically(SCANS / ACCOUNT, text.encode())
    if settings.source == "generated":  # nothing that its user could have got wrong
        text = f"{len(rows)} generated scans; by class and split: {SCANS / ACCOUNT}\n"
    print(text, end="", file=terminal.out())
