"""Groups scans into bags, by a pattern in the scans' ids or by a column of a table."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from pipeline.common.errors import InputError
from pipeline.common.files import read_table
from pipeline.scans.scan import PARTS, ScanEntry
from pipeline.settings.scans import BagColumn

# Names that Roboflow gives to copies of a picture: bag7_jpg.rf.0c1d2e...
ROBOFLOW = re.compile(r"(.+)_(?:bmp|jpe?g|png|tiff?|webp)\.rf\.[0-9A-Za-z]+$", re.IGNORECASE)


@dataclass(frozen=True)
class Bag:
    """Scans of one bag, which all go into one split.

    Attributes:
        key: the name of the bag, or the id of its only scan.
        scans: in order of their ids.
        classes: the abnormal classes of its scans, sorted.
    """

    key: str
    scans: tuple[ScanEntry, ...]
    classes: tuple[str, ...]


def make_bags(entries: Sequence[ScanEntry], names: Mapping[str, str]) -> list[Bag]:
    """Return the bags in order of their keys; `names` maps a scan's id to the name of its bag.

    A scan whose id is not in `names` is a bag by itself.
    """
    members: dict[tuple[bool, str], list[ScanEntry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.scan_id):
        alone = entry.scan_id not in names
        members.setdefault((alone, names.get(entry.scan_id, entry.scan_id)), []).append(entry)
    return [
        Bag(key, tuple(scans), tuple(sorted({name for scan in scans for name in scan.classes})))
        for (_, key), scans in sorted(members.items())
    ]


def bag_names(
    entries: Sequence[ScanEntry], group: str | BagColumn | None, folder: Path
) -> dict[str, str]:
    """Return the name of the bag of each scan that has one, by the scan's id.

    Args:
        entries: the scans.
        group: a regular expression, whose first group (or whole match, if it has no group) in a
            scan's id is the bag's name; or a column of a table; or None, which puts Roboflow's
            copies of a picture, known by their names, into one bag.
        folder: the folder of the scans and of the table.

    Raises:
        InputError: `group` gives no scan a bag, or the table cannot be read or lacks a column.
    """
    if not entries:
        return {}
    if group is None:
        return {
            entry.scan_id: match[1]
            for entry in entries
            if (match := ROBOFLOW.search(_without_part(entry.scan_id)))
        }
    if isinstance(group, str):
        return _by_pattern(entries, group)
    return _by_column(entries, group, folder / group.table)


def describe_bags(
    names: Mapping[str, str],
    entries: Sequence[ScanEntry],
    group: str | BagColumn | None,
    folder: Path,
) -> list[str]:
    """Return the numbers of scans and bags, and of a table's rows without a scan, a line each.

    `names` is the result of `bag_names` for the other arguments. There is no line if no scan has a
    bag and `group` is None.
    """
    of_all, bags = f"{len(names)} of {len(entries)} scans are", len(set(names.values()))
    if group is None:
        copies = f"Roboflow's copies of {bags} pictures: all copies of a picture are in one split"
        return [f"{of_all} {copies}"] if names else []
    lines = [f"{of_all} in {bags} bags (scans.group)"]
    if isinstance(group, BagColumn) and entries:
        table = folder / group.table
        lost = [row.written for row in _rows(entries, group, table) if not row.scans]
        if lost:
            lines.append(f"{len(lost)} rows of {table} name no scan, such as {lost[0]!r}")
    return lines


def _without_part(scan_id: str) -> str:
    """Return a scan's id without its first folder, if this folder is called train, val or test."""
    first, _, rest = scan_id.partition("/")
    return rest if rest and first.lower() in PARTS else scan_id


def _by_pattern(entries: Sequence[ScanEntry], pattern: str) -> dict[str, str]:
    matches = {entry.scan_id: re.search(pattern, entry.scan_id) for entry in entries}
    if not any(matches.values()):
        first = entries[0].scan_id
        raise InputError(f"scans.group: {pattern!r} is found in no scan's id, such as {first!r}")
    names = {scan: m[1] if m.re.groups else m[0] for scan, m in matches.items() if m}
    return {scan: name for scan, name in names.items() if name}


def _by_column(entries: Sequence[ScanEntry], column: BagColumn, table: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for line, row in enumerate(_rows(entries, column, table), 2):
        if len(row.scans) > 1:
            raise InputError(
                f"{table}: line {line}: {row.written!r} is the end of {row.scans}: write more of "
                "the path"
            )
        for scan in row.scans:
            if names.setdefault(scan, row.bag) != row.bag:
                raise InputError(
                    f"{table}: line {line}: {scan!r} is in bag {names[scan]!r} too: keep one row"
                )
    names = {scan: bag for scan, bag in names.items() if bag}
    if not names:
        raise InputError(
            f"{table}: no row of its column {column.scan!r} names a scan and a bag: expected "
            f"ids such as {entries[0].scan_id!r}"
        )
    return names


@dataclass(frozen=True)
class _Row:
    """A row of a table of bags: a scan's path as written, its bag, and the scans that it names."""

    written: str
    bag: str
    scans: list[str]


def _rows(entries: Sequence[ScanEntry], column: BagColumn, table: Path) -> list[_Row]:
    """Return the rows of a table of bags.

    A path names the scan whose id ends with the path. If no id does, for instance because the path
    begins above the set's folder, the path names the scan whose id ends with the longest possible
    end of the path, if this is a single scan that no other row names.
    """
    scans_of = _by_end([entry.scan_id for entry in entries])

    def ending_in(end: str) -> list[str]:
        return scans_of.get(end, scans_of.get(_without_suffix(end), []))

    rows = [
        _Row(written, row[column.bag] or "", ending_in(written))
        for row in _read_table(table, column)
        for written in [(row[column.scan] or "").replace("\\", "/")]
    ]
    named = {scan for row in rows for scan in row.scans}

    def below(written: str) -> list[str]:
        parts = written.split("/")
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        scans = next(filter(None, map(ending_in, ends)), [])
        return scans if len(scans) == 1 and named.isdisjoint(scans) else []

    return [replace(row, scans=row.scans or below(row.written)) for row in rows]


def _by_end(scan_ids: Sequence[str]) -> dict[str, list[str]]:
    """Map every end of a scan's id to its scans: a/b/c has the ends a/b/c, b/c and c.

    An end that is a scan's whole id maps to this scan only.
    """
    scans_of: dict[str, list[str]] = {}
    for scan in scan_ids:
        parts = scan.split("/")
        for start in range(len(parts)):
            scans_of.setdefault("/".join(parts[start:]), []).append(scan)
    return scans_of | {scan: [scan] for scan in scan_ids}


def _without_suffix(written: str) -> str:
    path = PurePath(written)
    return path.with_suffix("").as_posix() if path.name else written  # an empty cell has no name


def _read_table(table: Path, column: BagColumn) -> list[dict[str, str]]:
    try:
        rows = read_table(table)
    except OSError as error:
        raise InputError(
            f"{table}: cannot be read ({error.strerror}): expected the CSV file that "
            "scans.group.table names"
        ) from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(
            f"{table}: expected a CSV file in UTF-8: save it so, or correct scans.group.table"
        ) from None
    for name in (column.scan, column.bag):
        if rows and name not in rows[0]:
            raise InputError(
                f"{table}: no column {name!r}: it has {list(rows[0])}: correct scans.group"
            )
    return rows
