"""Lists all files of a set (images, other files, hidden and unusable files), and reads texts."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.common.files import special_file_kind
from pipeline.scans.bad_input import BadInput
from pipeline.scans.image_limits import FORMATS
from pipeline.scans.images import LFS, image_format
from pipeline.scans.scan import IMAGE_SUFFIXES, ScanEntry, SetFiles

OTHER_IMAGES = (".gif", ".webp", ".jp2", ".dcm", ".npy")  # reported as bad, not left out
EXPECTED = f"expected {', '.join(FORMATS)}"
ALL_NORMAL = "or set scans.source to folder if every image in it is a normal scan"

# Errors from records that break a format: wrong types, missing keys, broken run lengths.
WRONG_SHAPE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)

# Where DVC and git-annex store the content of tracked files, under the digest as name.
DVC_STORE = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")
ANNEX_STORE = re.compile(r"/annex/objects/")
CACHE = ".cache"
UNREADABLE = "no permission: make it readable"
DVC_FILE = ".dvc"  # suffix of the file that DVC writes beside a tracked file


def list_files(folder: Path) -> SetFiles:
    """List every file below `folder`.

    Links to folders are not followed. Links to files are followed within `folder`, and into the
    stores of DVC and git-annex, which replace a tracked file by a link. Hidden files and folders
    are listed, but not read.

    Raises:
        InputError: the folder is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: set scans.folder to where the scans are")
    root = folder.resolve()
    images: list[Path] = []
    others: list[Path] = []
    hidden: list[Path] = []
    bad: list[BadInput] = []

    def cannot_list(error: OSError) -> None:
        bad.append(
            BadInput(_path_text(Path(error.filename)), f"cannot be listed: {error.strerror}")
        )

    for parent, folders, names in os.walk(folder, onerror=cannot_list):
        if not os.access(parent, os.X_OK, effective_ids=True):
            bad.append(BadInput(_path_text(Path(parent)), f"cannot be entered: {UNREADABLE}"))
            folders.clear()
            continue
        hidden += [Path(parent, name) for name in (*folders, *names) if name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]
        bad += [
            BadInput(_path_text(path), "a link to a folder: put the folder here") for path in links
        ]
        for path in (Path(parent, name) for name in names if not name.startswith(".")):
            reason = _why_unusable(path, root)
            image_kind = None if reason else _format_of(path)
            if image_kind and image_kind not in FORMATS:
                reason = f"not a format that is read: {EXPECTED}"
            if reason:
                bad.append(BadInput(_path_text(path), reason))
            else:
                (images if image_kind else others).append(path)
    return SetFiles(
        folder,
        tuple(sorted(images)),
        tuple(sorted(others)),
        tuple(sorted(hidden)),
        tuple(sorted(bad, key=lambda item: item.file)),
    )


def list_set(folder: Path) -> SetFiles:
    """List every file below `folder`, as `list_files` does; at least one must be an image.

    Raises:
        InputError: the folder is missing, or has no image and no bad file, which could be an image.
    """
    files = list_files(folder)
    if not files.images and not files.bad:
        raise InputError(f"{folder}: no image in it: {EXPECTED}")
    return files


def without_repeats(entries: Iterable[ScanEntry]) -> tuple[list[ScanEntry], list[BadInput]]:
    """Return the entries sorted by id, one for each id, and the other entries as bad input."""
    entry_of: dict[str, ScanEntry] = {}
    bad = []
    for entry in sorted(entries, key=lambda entry: (entry.scan_id, entry.files)):
        first = entry_of.setdefault(entry.scan_id, entry)
        if first is not entry:
            reason = f"scan id {entry.scan_id!r} is that of {first.files[0]} too: rename one"
            bad.append(BadInput(str(entry.files[0]), reason))
    return list(entry_of.values()), bad


def id_below(folder: Path, path: Path) -> str:
    """Return a scan's id: its path below the set's folder, without the suffix."""
    return path.relative_to(folder).with_suffix("").as_posix()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an `OSError` from reading a file into an `InputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


@contextmanager
def faults_of(place: object) -> Iterator[None]:
    """Turn an error of `WRONG_SHAPE` into an `InputError` that names the place on one line."""
    try:
        yield
    except WRONG_SHAPE as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise InputError(f"{place}: {reason}") from None


def read_lines(path: Path) -> list[str]:
    """Return the stripped lines of a text file, without a byte order mark.

    Raises:
        InputError: the file cannot be read, or is not UTF-8.
    """
    try:
        with reading(path):
            text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text in UTF-8: save it as UTF-8") from None
    if text.startswith(LFS):
        raise InputError(f"{path}: a pointer of Git LFS: run `git lfs pull`")
    return [line.strip() for line in text.splitlines()]


def _why_unusable(path: Path, root: Path) -> str | None:
    """Return why a path cannot be used as a file of the set; None if it can be used."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in str(path)):
        return "a name with control characters, or that is not UTF-8: rename it"
    try:
        kind = special_file_kind(path)
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, in Python 3.11 and 3.12
        return _why_broken(path)
    if path.is_symlink() and not (target.is_relative_to(root) or _is_in_store(target)):
        return "a link out of the folder: put the file here"
    if kind:
        return f"{kind}, not a file: remove it"
    if path.suffix == DVC_FILE and not path.with_suffix("").exists():
        return f"DVC tracks {path.stem}, which is not here: run `dvc pull` or `dvc checkout`"
    return None if os.access(path, os.R_OK, effective_ids=True) else f"cannot be read: {UNREADABLE}"


def _why_broken(link: Path) -> str:
    """Return the fault of a link whose target is missing, or that leads back to itself."""
    if link.is_symlink() and _is_in_store(Path(link.parent, link.readlink())):
        return "a link into a store that lacks the file: run `dvc pull`, or `git annex get`"
    return "a link that leads nowhere: remove it"


def _is_in_store(target: Path) -> bool:
    return bool(DVC_STORE.search(target.as_posix()) or ANNEX_STORE.search(target.as_posix()))


def _format_of(path: Path) -> str | None:
    """Return the format of an image; None for other files.

    A file with an image suffix counts as an image; its content is checked when it is read.
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return FORMATS[0]
    if suffix == CACHE or (suffix == ".npy" and _has_image(path)):
        return None  # Ultralytics' caches of labels and of images
    return suffix if suffix in OTHER_IMAGES else image_format(path)


def _has_image(path: Path) -> bool:
    """Return whether an image has the same name, with a suffix in lower or upper case."""
    suffixes = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
    return any(path.with_suffix(suffix).exists() for suffix in suffixes)


def _path_text(path: Path) -> str:
    """Return a path as text on one line, with unprintable characters escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]
