"""The names of a YOLO set's classes, in any of the files that tools write them to."""

from pathlib import Path

from pipeline.common.errors import InputError
from pipeline.common.files import read_yaml
from pipeline.scans.scan import SetFiles
from pipeline.scans.sources.folders import read_lines, reading

YAML = (".yaml", ".yml")
PLACES = "a YAML file with `names`, obj.names, _darknet.labels or classes.txt"

Names = dict[int, str]


class PosesError(InputError):
    """Error: the set's lines hold a pose's points after the box."""


def read_names(files: SetFiles) -> tuple[Names, list[Path]]:
    """Return the class names by index, and the files that list them.

    Reads any YAML file below the folder with `names`, a list or a mapping from indices; and
    ``*.names`` (darknet, CVAT), ``_darknet.labels`` (Roboflow) and ``classes.txt`` (labelImg,
    Label Studio), one name a line.

    One file may list more classes than another.

    Raises:
        InputError: no file lists class names, or two files differ in a name.
    """
    names_in: dict[Path, Names] = {}
    faults: list[str] = []
    for path in files.others:
        try:
            if path.suffix.lower() in YAML:
                names_in[path] = _names_in_yaml(path)
            elif _is_list(path):
                names_in[path] = _names_by_line(path)
        except PosesError:
            raise
        except InputError as error:
            faults.append(str(error))
    if not names_in:
        tried = f": {'; '.join(faults)}" if faults else ""
        raise InputError(f"{files.folder}: no names of classes: expected {PLACES}{tried}")
    longest = max(names_in.values(), key=len)
    if not all(names.items() <= longest.items() for names in names_in.values()):
        shown = "; ".join(f"{path} has {list(names.values())}" for path, names in names_in.items())
        raise InputError(f"{files.folder}: names of classes that differ: {shown}: keep one")
    return longest, list(names_in)


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


def _names_in_yaml(path: Path) -> Names:
    """Return the class names in a YAML file.

    Raises:
        InputError: it has no class names, or is of poses: lines with points after the box.
    """
    with reading(path):
        content = read_yaml(path)
    if not isinstance(content, dict) or "names" not in content:
        raise InputError(f"{path} has no `names`")
    if "kpt_shape" in content:
        raise PosesError(f"{path}: kpt_shape: poses are not read: export boxes or polygons")
    names = content["names"]
    try:
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        classes = {int(index): str(name).strip() for index, name in pairs}
    except (TypeError, ValueError, OverflowError):
        classes = {}
    if not classes or isinstance(names, str):
        raise InputError(f"{path}: expected the classes under `names`, a list or by index")
    return classes
