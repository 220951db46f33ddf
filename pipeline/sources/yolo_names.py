"""The names of a YOLO set's classes, wherever the tool that wrote the set has put them."""

from pathlib import Path

from pipeline.errors import InputError
from pipeline.files import read_yaml
from pipeline.sources.base import SetFiles
from pipeline.sources.folders import read_lines

YAML = (".yaml", ".yml")
PLACES = "a YAML file with `names`, obj.names, _darknet.labels or classes.txt"

Names = dict[int, str]


def read_names(files: SetFiles) -> tuple[Names, list[Path]]:
    """The classes by their index, and the files that say them.

    Any YAML file below the folder that has `names`, a list or by index; ``*.names`` (darknet,
    CVAT), ``_darknet.labels`` (Roboflow) and ``classes.txt`` (labelImg, Label Studio), a name a
    line.

    Raises:
        InputError: no file says the names, a YAML file's `names` cannot be used, or two differ.
    """
    found: dict[Path, Names] = {}
    without: list[Path] = []
    for path in files.others:
        if path.suffix.lower() in YAML:
            names = _names_in_yaml(path)
            if names is None:
                without.append(path)
            else:
                found[path] = names
        elif _is_list(path):
            found[path] = _names_by_line(path)
    if not found:
        tried = f"; {', '.join(map(str, without))} has no `names`" if without else ""
        raise InputError(f"{files.folder}: no names of classes: expected {PLACES}{tried}")
    first, *others = found
    for other in others:
        if found[other] != found[first]:
            shown = "; ".join(f"{path} has {list(names.values())}" for path, names in found.items())
            raise InputError(f"{files.folder}: names of classes that differ: {shown}: keep one")
    return found[first], list(found)


def _is_list(path: Path) -> bool:
    name = path.name.lower()
    return name in ("classes.txt", "_darknet.labels") or name.endswith(".names")


def _names_by_line(path: Path) -> Names:
    lines = read_lines(path)
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path}: no name of a class in it: expected one a line")
    return dict(enumerate(lines))


def _names_in_yaml(path: Path) -> Names | None:
    """The classes that a YAML file names; None where it has no `names`."""
    try:
        content = read_yaml(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(content, dict) or "names" not in content:
        return None
    names = content["names"]
    try:
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        found = {int(index): str(name).strip() for index, name in pairs}
    except (TypeError, ValueError):
        found = {}
    if not found or isinstance(names, str):
        raise InputError(f"{path}: expected the classes under `names`, a list or by index")
    return found
