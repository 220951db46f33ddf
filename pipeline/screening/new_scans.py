"""Finds the scans to screen: images below a folder, or scans with the annotations of a set."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common.errors import InputError, require
from pipeline.common.files import digest, file_digest
from pipeline.scans.bad_input import BadInput
from pipeline.scans.images import read_image
from pipeline.scans.scan import Listing, Scan, ScanEntry, ScanSource, SetFiles, suffix_text
from pipeline.scans.sources.folders import list_set


@dataclass(frozen=True)
class NewScan:
    """A scan to screen.

    Attributes:
        name: the path of its image below the folder that is screened.
        path: of its image.
        entry: with which the source of annotations reads it; None without annotations.
        annotations: digest of its annotations; "" without.
    """

    name: str
    path: Path
    entry: ScanEntry | None = None
    annotations: str = ""

    def read(self, source: ScanSource | None) -> Scan:
        """Read the image, and its annotations if there are some.

        Raises:
            InputError: a file cannot be used.
        """
        if source is None or self.entry is None:
            return Scan(self.name, read_image(self.path), ())
        return source.read(self.entry)


ScanJob = tuple[NewScan, str]  # a scan, and the SHA-256 of its image


@dataclass(frozen=True)
class NewScans:
    """The scans to screen in a folder, and its other files.

    Attributes:
        scans: the scans to screen, by name.
        bad: files that cannot be used, with the reason.
        others: number of files that are not looked at, by suffix or by reason.
    """

    scans: tuple[NewScan, ...]
    bad: tuple[BadInput, ...]
    others: Mapping[str, int]


def list_images(path: Path) -> SetFiles:
    """List an image, or all files below a folder.

    Raises:
        InputError: there is no image, or no text can hold the image's name.
    """
    if path.is_file():
        require(path.name.isprintable(), "file", path.name, "a name of printable characters")
        return SetFiles(path.parent, images=(path,), others=())
    return list_set(path)


def without_annotations(listed: SetFiles) -> NewScans:
    """Return all images as scans."""
    scans = tuple(NewScan(_name(listed.folder, path), path) for path in listed.images)
    return NewScans(scans, listed.bad, _counts(listed, dict.fromkeys(listed.others, "")))


def with_annotations(folder: Path, source: ScanSource, params: Mapping[str, Any]) -> NewScans:
    """Return the scans that a source finds in a folder; `params` decide how the source reads.

    Raises:
        InputError: as `ScanSource.listing`, or an image file holds several scans.
    """
    listing = source.listing()
    scans = []
    for entry in listing.entries:
        image, *others = entry.files
        about = [*(file_digest(path) for path in others), entry.records, entry.classes, params]
        scans.append(NewScan(_name(folder, image), image, entry, digest(about)))
    if len({scan.name for scan in scans}) < len(scans):
        raise InputError(f"{folder}: a file holds several scans: give a file for each scan")
    return NewScans(tuple(scans), tuple(listing.bad), _counts(listing.files, _left_alone(listing)))


def _left_alone(listing: Listing) -> dict[Path, str]:
    """Return the files that are neither scans, annotations nor bad, with the reason."""
    used = {entry.files[0] for entry in listing.entries} | listing.annotations
    used |= {Path(bad.file) for bad in listing.bad}
    files = (*listing.files.images, *listing.files.others)
    return {path: listing.ignored.get(path, "") for path in files if path not in used}


def _counts(listed: SetFiles, others: Mapping[Path, str]) -> dict[str, int]:
    """Count files by suffix and reason, and those that are hidden."""
    counts = Counter(
        suffix_text(path) + f" ({reason})" * bool(reason) for path, reason in others.items()
    )
    if listed.hidden:
        counts["hidden"] = len(listed.hidden)
    return dict(sorted(counts.items()))


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
