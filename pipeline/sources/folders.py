"""Finding a set's files, and saying which of them cannot be taken."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.bad_input import BadInput
from pipeline.errors import InputError
from pipeline.sources.base import ScanEntry

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
OTHER_IMAGES = (".gif", ".webp", ".jp2", ".dcm", ".npy")  # named, so that none is missed silently


def find_images(folder: Path) -> tuple[list[Path], list[BadInput]]:
    """The images anywhere below `folder`, sorted, and what looks like one but cannot be taken.

    Raises:
        InputError: the folder is missing or holds no image.
    """
    found, bad = find_files(folder, (*IMAGE_SUFFIXES, *OTHER_IMAGES))
    images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    expected = f"expected {', '.join(IMAGE_SUFFIXES)}"
    bad += [
        BadInput(str(path), f"not a format that is read: {expected}")
        for path in sorted(set(found) - set(images))
    ]
    if not images and not bad:
        raise InputError(f"{folder}: no image in it: {expected}")
    return images, bad


def find_files(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[BadInput]]:
    """The files anywhere below `folder` that end in one of `suffixes`, sorted.

    Links to folders are not followed, and links to files only within `folder`; hidden files and
    folders are left alone. Bad files come back with the reason.

    Raises:
        InputError: the folder is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: set scans.folder to where the scans are")
    root = folder.resolve()
    found: list[Path] = []
    bad: list[BadInput] = []

    def cannot_list(error: OSError) -> None:
        bad.append(BadInput(_shown(Path(error.filename)), f"cannot be listed: {error.strerror}"))

    for place, folders, names in os.walk(folder, onerror=cannot_list):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [Path(place, name) for name in folders if Path(place, name).is_symlink()]
        bad += [BadInput(_shown(path), "a link to a folder: put the folder here") for path in links]
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or path.suffix.lower() not in suffixes:
                continue
            reason = _why_not(path, root)
            if reason:
                bad.append(BadInput(_shown(path), reason))
            else:
                found.append(path)
    return sorted(found), bad


def without_repeats(entries: Iterable[ScanEntry]) -> tuple[list[ScanEntry], list[BadInput]]:
    """The entries sorted by id, the first of each id, and the others as bad."""
    kept: dict[str, ScanEntry] = {}
    bad = []
    for entry in sorted(entries, key=lambda entry: (entry.scan_id, entry.files)):
        first = kept.setdefault(entry.scan_id, entry)
        if first is not entry:
            reason = f"scan id {entry.scan_id!r} stands for {first.files[0]} too: rename one"
            bad.append(BadInput(str(entry.files[0]), reason))
    return list(kept.values()), bad


def id_below(folder: Path, path: Path) -> str:
    """A scan's id: its path below the set's folder, without the suffix."""
    return path.relative_to(folder).with_suffix("").as_posix()


def _why_not(path: Path, root: Path) -> str | None:
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in str(path)):
        return "a name with control characters, or that is not UTF-8: rename it"
    if not path.is_symlink():
        return None
    try:
        inside = path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # RuntimeError: a loop, in Python 3.11 and 3.12
        return "a link that leads nowhere: remove it"
    return None if inside else "a link out of the folder: put the file here"


def _shown(path: Path) -> str:
    """A path on one line, whatever is in it."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]
