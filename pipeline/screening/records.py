"""Records of screened files: a line of JSON each, written as soon as a bag is done."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.common.errors import InputError, require
from pipeline.common.files import UNFINISHED, code_digest, write_json, write_table
from pipeline.common.json_records import parse_record
from pipeline.screening.image_screener import SHOWN_WINDOWS, Look

RECORDS = "bags.jsonl"
TABLE = "bags.csv"
IDENTITY = "screening.json"  # by which model, code and folder of scans the results were made
NOTHING_SCREENED = {"folder": None}  # of the stage `screen` without new scans
# The code that decides the results of a bag.
DECIDING = (
    "pipeline.common.p_values",
    "pipeline.models",
    "pipeline.pages",
    "pipeline.patches.windows",
    "pipeline.scans",
    "pipeline.screening",
)


@dataclass(frozen=True)
class SuspiciousRegion:
    """A region of high evidence.

    Attributes:
        box: left, top, width, height, in pixels.
        outline: x and y of its corners, in turn.
        area: in pixels.
        evidence: its highest -log10 p.
    """

    box: tuple[int, int, int, int]
    outline: list[int]
    area: int
    evidence: float


@dataclass(frozen=True)
class ScreenedFile:
    """The results of a screened file, or the reason why it was skipped.

    Attributes:
        file: its path below the folder that was screened.
        sha256: of its bytes; "" if it cannot be read.
        width, height: of the scan; 0 if it was skipped.
        p_value: of the bag; 1 if it was skipped.
        score: of the bag; it ranks bags with the same p-value.
        windows: number of windows that were scored.
        looks: the windows to look at.
        regions: the regions of high evidence.
        seconds: the time that it took.
        reason: why it was skipped; "" otherwise.
        annotations: digest of its annotations; "" without.
        classes: its abnormal classes by its annotations; None without.
        on_threat: whether each of the windows to look at touches a threat.
    """

    file: str
    sha256: str
    width: int = 0
    height: int = 0
    p_value: float = 1.0
    windows: int = 0
    looks: tuple[Look, ...] = ()
    regions: tuple[SuspiciousRegion, ...] = ()
    seconds: float = 0.0
    reason: str = ""
    score: float = 0.0
    annotations: str = ""
    classes: tuple[str, ...] | None = None
    on_threat: tuple[bool, ...] = ()

    def raises_alarm(self, false_alarm_rate: float) -> bool:
        """Return whether the bag raises an alarm at a rate."""
        return self.p_value <= false_alarm_rate


class Records:
    """The records in an output folder. A bag is done when its line is on the disk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORDS
        if self.path.exists():
            content = self.path.read_bytes()
            end = content.rfind(b"\n") + 1
            if end < len(content):  # a killed run left the last line without its end
                os.truncate(self.path, end)

    def __iter__(self) -> Iterator[ScreenedFile]:
        """Yield the records; of a file that was screened again, only the last."""
        if not self.path.exists():
            return
        last: dict[str, ScreenedFile] = {}
        redo = f"remove {self.path}, and screen again"
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                file = parse_record(_record_type(), line, f"{self.path}: line {number}", redo)
                last[file.file] = file
        yield from last.values()

    def add(self, file: ScreenedFile) -> None:
        """Write a record to the disk."""
        with self.path.open("ab") as lines:
            lines.write(json.dumps(asdict(file)).encode() + b"\n")
            lines.flush()
            os.fsync(lines.fileno())


@cache
def _record_type() -> TypeAdapter[ScreenedFile]:
    return TypeAdapter(ScreenedFile)


def screening_identity(model_sha256: str, path: Path) -> dict[str, str]:
    """Return the content of screening.json: digests of model and code, and the folder of the scans.

    Results are resumed only under the same identity, so results of two models are never mixed.

    Args:
        model_sha256: of the model's file.
        path: an image, or a folder of scans.
    """
    folder = path.parent if path.is_file() else path
    return {"model": model_sha256, "folder": str(folder.resolve()), "code": code_digest(DECIDING)}


def holds_other_results(folder: Path, identity: Mapping[str, str]) -> bool:
    """Return whether a folder holds results of another model, of other scans, or of other code."""
    path = folder / IDENTITY
    try:
        return path.exists() and json.loads(path.read_text(encoding="utf-8")) != identity
    except ValueError:
        return True


def prepare_results_folder(folder: Path, identity: Mapping[str, str]) -> None:
    """Create the folder of the results, or resume the same screening in it.

    Raises:
        InputError: the folder holds the results of another model, or other files; or it is a file.
    """
    require(folder.is_dir() or not folder.exists(), "--out", str(folder), "a folder")
    if holds_other_results(folder, identity):
        raise InputError(
            f"{folder}: holds the results of another model, folder or version of SkipScan: choose "
            "another folder, or remove this one"
        )
    killed = set(folder.glob(f".{IDENTITY}.*{UNFINISHED}"))  # at the first write
    if folder.exists() and set(folder.iterdir()) - killed and not (folder / IDENTITY).exists():
        raise InputError(f"{folder}: holds other files: choose an empty folder for the results")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except NotADirectoryError:
        expected = "a path whose parents are folders"
        raise InputError(f"--out: got {str(folder)!r}, expected {expected}") from None
    write_json(folder / IDENTITY, identity)


def write_bags(folder: Path, files: list[ScreenedFile], false_alarm_rate: float) -> None:
    """Write bags.csv, the most suspicious bag first; skipped files are last, with the reason."""
    annotated = any(file.classes is not None for file in files)
    columns = ["file", "sha256", "p_value", "score", "alarm", *["classes"] * annotated]
    sides = [side.name for side in fields(Look)] + ["on_threat"] * annotated
    columns += [f"look{n}_{side}" for n in range(1, SHOWN_WINDOWS + 1) for side in sides]
    columns += ["seconds", "reason"]
    rows = []
    for file in files:
        done = not file.reason
        row: dict[str, Any] = {
            "file": file.file,
            "sha256": file.sha256,
            "p_value": file.p_value if done else "",
            "score": file.score if done else "",
            "alarm": int(file.raises_alarm(false_alarm_rate)) if done else "",
            "seconds": round(file.seconds, 3),
            "reason": file.reason,
        }
        for number, look in enumerate(file.looks, 1):
            row |= {f"look{number}_{side}": value for side, value in asdict(look).items()}
        if file.classes is not None:
            row["classes"] = " ".join(file.classes)
            row |= {f"look{n}_on_threat": int(on) for n, on in enumerate(file.on_threat, 1)}
        rows.append(row)
    write_table(folder / TABLE, columns, rows)


def hits_text(files: Sequence[ScreenedFile], false_alarm_rate: float) -> list[str]:
    """Return lines on the alarms and the windows to look at, by the annotations; [] without."""
    annotated = [file for file in files if file.classes is not None]
    threats, normal = [f for f in annotated if f.classes], [f for f in annotated if not f.classes]
    lines = []
    if threats:
        alarms = sum(file.raises_alarm(false_alarm_rate) for file in threats)
        first = sum(file.on_threat[:1] == (True,) for file in threats)
        some = sum(any(file.on_threat) for file in threats)
        lines.append(
            f"bags with a threat: {alarms} of {len(threats)} raise an alarm; the first window is "
            f"on a threat in {first}, one of the windows to look at in {some}"
        )
    if normal:
        alarms = sum(file.raises_alarm(false_alarm_rate) for file in normal)
        lines.append(f"bags without a threat: {alarms} of {len(normal)} raise an alarm")
    return lines
