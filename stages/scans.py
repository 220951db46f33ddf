"""Stage `scans`: generate or find the scans, and give each its split."""

from pipeline.catalogue import describe, write_catalogue
from pipeline.settings import load_settings
from pipeline.sources.embedded.coco import generate
from pipeline.sources.registry import GENERATED, open_source
from pipeline.splits import split_scans
from stages.entry import SCANS, run_stage


def main() -> None:
    """Write data/scans."""
    settings = load_settings().scans
    if settings.source == "embedded":
        generate(SCANS / GENERATED, settings.seed, settings.count)
    entries = open_source(settings, SCANS).entries()
    rows = write_catalogue(SCANS, entries, split_scans(entries, settings, settings.seed))
    print(describe(rows))


if __name__ == "__main__":
    run_stage(main)
