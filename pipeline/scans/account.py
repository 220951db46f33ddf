"""The text of account.txt: the use of every file of a set, scans and objects per split."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from pipeline.common.lines import escape_unprintable
from pipeline.common.names import NORMAL, SPLITS
from pipeline.common.tables import text_table
from pipeline.scans.catalogue import CatalogueRow
from pipeline.scans.scan import Listing, suffix_text
from pipeline.scans.survey import Survey

ACCOUNT = "account.txt"
SHOWN_HIDDEN = 5


def account_of(
    listing: Listing,
    survey: Survey,
    rows: Sequence[CatalogueRow],
    meaning: Callable[[str], str],
    notes: Sequence[str],
) -> str:
    """Return the account, which the stage `scans` prints and stores at its end.

    Args:
        listing: all files of the set, and the use that the source has for each.
        survey: the scans that can be used.
        rows: the catalogue; a scan of `survey` without a row is in no split.
        meaning: maps a class of the set to normal, ignored, or an abnormal class.
        notes: further lines.
    """
    left_out = len(survey.scans) - len(rows)
    of_parts = f"  {left_out} scans of bags with a threat in the set's own parts, left out"
    lines = [
        *_lines_of_files(listing, survey),
        *(f"  {count} {note}" for note, count in sorted(listing.notes.items())),
        *([of_parts] if left_out else []),
        *(f"  {note}" for note in notes),
        _table(survey, rows, meaning),
    ]
    return escape_unprintable("\n".join(lines) + "\n")


def count_files(listing: Listing, survey: Survey) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Count the files that were used as images or annotations, were bad, or were ignored.

    Returns:
        The number of files in each of these four groups, and of ignored files by suffix and
        reason. Every file of the set is in exactly one group.
    """
    files = listing.files
    images = frozenset(files.images)
    used = {entry.files[0] for entry in survey.entries}
    bad = {item.file for item in (*listing.bad, *survey.bad)}
    groups: Counter[str] = Counter(bad=len(files.bad))
    ignored: Counter[tuple[str, str]] = Counter()
    for path in (*files.images, *files.others):
        if path in used:
            groups["image"] += 1
        elif path in listing.annotations and str(path) not in bad:
            groups["annotation"] += 1
        elif path not in listing.ignored and (path in images or str(path) in bad):
            groups["bad"] += 1
        else:
            groups["ignored"] += 1
            reason = listing.ignored.get(path, "neither an image nor an annotation of this format")
            ignored[suffix_text(path), reason] += 1
    return groups, ignored


def _lines_of_files(listing: Listing, survey: Survey) -> list[str]:
    groups, ignored = count_files(listing, survey)
    counts = (
        f"{groups['image']} used as images, {groups['annotation']} as annotations, "
        f"{groups['bad']} bad, {groups['ignored']} ignored"
    )
    hidden = [path.name for path in listing.files.hidden]
    shown = ", ".join(hidden[:SHOWN_HIDDEN]) + (", ..." if len(hidden) > SHOWN_HIDDEN else "")
    return [
        f"{listing.files.folder}: {groups.total()} files seen: {counts}",
        *(
            f"  ignored: {count} {suffix}: {reason}"
            for (suffix, reason), count in sorted(ignored.items())
        ),
        *([f"  hidden, and not looked at: {len(hidden)} ({shown})"] if hidden else []),
    ]


def _table(survey: Survey, rows: Sequence[CatalogueRow], meaning: Callable[[str], str]) -> str:
    """Return a text table: scans by class and split, then their objects, in the set's own words."""
    split_of = {row.scan_id: row.split for row in rows}
    scans: dict[str, Counter[str]] = defaultdict(Counter)
    objects: dict[str, Counter[str]] = defaultdict(Counter)
    empty: Counter[str] = Counter()
    for row in rows:
        scans[", ".join(row.classes) or NORMAL][row.split] += 1
    for scan in survey.scans:
        split = split_of.get(scan.entry.scan_id)
        if split is None:
            continue
        empty[split] += not scan.objects
        for name, count in scan.objects.items():
            objects[name][split] += count
    headings = [split for split in SPLITS if split in split_of.values()]
    counted = [
        *((name, scans[name]) for name in sorted(scans)),
        ("without objects", empty),
        *((f"objects: {name} ({meaning(name)})", objects[name]) for name in sorted(objects)),
    ]
    lines = [(name, *(counts[heading] for heading in headings)) for name, counts in counted]
    return text_table(["scans", *headings], lines)
