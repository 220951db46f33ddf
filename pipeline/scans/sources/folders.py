"""Finds every file of a set: the images among them, the others, and the files nobody can take."""

import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.scans.bad_input import BadInput
from pipeline.scans.images import FORMATS, LFS, image_format
from pipeline.scans.scan import IMAGE_SUFFIXES, ScanEntry, SetFiles

OTHER_IMAGES = (".gif", ".webp", ".jp2", ".dcm", ".npy")  # named, so that none is missed silently
EXPECTED = f"expected {', '.join(FORMATS)}"

# Where DVC and git-annex keep the content of a file that they track: named after its digest.
DVC_STORE = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")
ANNEX_STORE = re.compile(r"/annex/objects/")
CACHE = ".cache"
DVC_FILE = ".dvc"  # beside a file that DVC tracks


def list_files(folder: Path) -> SetFiles:
    """Look at every name below `folder`.

    Links to folders are not followed. Links to files are followed within `folder`, and into the
    store of DVC or git-annex, which put such a link where the file itself was. Hidden names are
    counted and left alone.

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
        bad.append(BadInput(_shown(Path(error.filename)), f"cannot be listed: {error.strerror}"))

    for place, folders, names in os.walk(folder, onerror=cannot_list):
        hidden += [Path(place, name) for name in (*folders, *names) if name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [Path(place, name) for name in folders if Path(place, name).is_symlink()]
        bad += [BadInput(_shown(path), "a link to a folder: put the folder here") for path in links]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            reason = _why_not(path, root)
            found = None if reason else _picture(path)
            if found and found not in FORMATS:
                reason = f"not a format that is read: {EXPECTED}"
            if reason:
                bad.append(BadInput(_shown(path), reason))
            else:
                (images if found else others).append(path)
    return SetFiles(
        folder,
        tuple(sorted(images)),
        tuple(sorted(others)),
        tuple(sorted(hidden)),
        tuple(sorted(bad, key=lambda item: item.file)),
    )


def list_set(folder: Path) -> SetFiles:
    """The same of a set that has images.

    Raises:
        InputError: the folder is missing, or holds no image and no bad file that could be one.
    """
    files = list_files(folder)
    if not files.images and not files.bad:
        raise InputError(f"{folder}: no image in it: {EXPECTED}")
    return files


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


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without a byte order mark and without blanks at either end.

    Raises:
        InputError: the file cannot be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text in UTF-8") from None
    if text.startswith(LFS):
        raise InputError(f"{path}: a pointer of Git LFS: run `git lfs pull`")
    return [line.strip() for line in text.splitlines()]


def _why_not(path: Path, root: Path) -> str | None:
    """Why a name cannot be opened as a file of the set; None where it can."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in str(path)):
        return "a name with control characters, or that is not UTF-8: rename it"
    try:
        mode = path.stat().st_mode
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop, in Python 3.11 and 3.12
        return _why_lost(path)
    if path.is_symlink() and not (target.is_relative_to(root) or _is_in_store(target)):
        return "a link out of the folder: put the file here"
    if not stat.S_ISREG(mode):
        return f"{_kind(mode)}, not a file: remove it"
    if path.suffix == DVC_FILE and not path.with_suffix("").exists():
        return f"DVC tracks {path.stem}, which is not here: run `dvc pull` or `dvc checkout`"
    return None


def _why_lost(link: Path) -> str:
    """What is wrong with a link whose target is missing, or that leads back to itself."""
    if link.is_symlink() and _is_in_store(Path(link.parent, link.readlink())):
        return "a link into a store that lacks the file: run `dvc pull`, or `git annex get`"
    return "a link that leads nowhere: remove it"


def _is_in_store(target: Path) -> bool:
    return bool(DVC_STORE.search(target.as_posix()) or ANNEX_STORE.search(target.as_posix()))


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _picture(path: Path) -> str | None:
    """The format of a picture, None of another file.

    By the suffix where it is a usual one: such a file is looked at when it is read.
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return FORMATS[0]
    if suffix == CACHE or (suffix == ".npy" and _has_picture(path)):
        return None  # what Ultralytics keeps of labels, and of pictures, beside them
    return suffix if suffix in OTHER_IMAGES else image_format(path)


def _has_picture(path: Path) -> bool:
    """Whether there is a picture of the same name, whose suffix is in lower or in upper case."""
    suffixes = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
    return any(path.with_suffix(suffix).exists() for suffix in suffixes)


def _shown(path: Path) -> str:
    """A path on one line, whatever is in it."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]
