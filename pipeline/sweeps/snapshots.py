"""Makes the snapshots of a sweep safe to resume from, and checks them after a kill."""

import hashlib
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileSystem
from ray.tune import Callback, Tuner
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from pipeline.cluster.storage import Storage
from pipeline.common.files import file_digest

TUNER = "tuner.pkl"
CALLBACKS = "callback-states"
SNAPSHOT = ("json", "pkl")  # suffixes of a snapshot's files


class KeepScheduler(Callback):
    """Adds ASHA's state to a sweep's snapshot, as Tune leaves it out.

    Without it, ASHA in a resumed sweep would compare only the trials after the kill, and would stop
    other trials than in an undisturbed sweep.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        self.scheduler = scheduler  # Tune pickles both together, so this stays Tune's scheduler

    def get_state(self) -> dict[str, Any]:
        """Return ASHA's attributes; an empty dict for other schedulers."""
        known = vars(self.scheduler) if isinstance(self.scheduler, ASHAScheduler) else {}
        return {"scheduler": dict(known)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the scheduler's attributes."""
        vars(self.scheduler).update(state["scheduler"])


class SealSnapshot(Callback):
    """Adds digests of a snapshot's other files, to prove that all are complete and of one moment.

    Tune writes the callbacks' states last. Then it copies all files to the storage, over the files
    of the previous snapshot.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Store the snapshot's folder; only a trial knows it."""
        if trials and trials[0].storage:
            self.folder = Path(trials[0].storage.experiment_driver_staging_path)

    def get_state(self) -> dict[str, Any]:
        """Return the SHA-256 of the snapshot's other files, by name; none before any trial."""
        files = [path for path in self.folder.iterdir() if _is_sealed(path)] if self.folder else []
        newest = max((_driver(path.name) for path in files), default="")
        return {"files": {p.name: file_digest(p) for p in files if _driver(p.name) == newest}}


def can_resume(sweep: Storage) -> bool:
    """Return whether `sweep` holds a complete snapshot; remove incomplete snapshots.

    Each driver process overwrites its own snapshot, which is several files. A kill may leave an
    incomplete file, or files of two moments. Ray would resume from these files, as they are newer
    than the complete snapshot of an earlier driver.
    """
    filesystem, folder = sweep.open()
    snapshots = defaultdict(list)
    for file in filesystem.get_file_info(FileSelector(folder, allow_not_found=True)):
        if file.is_file and file.extension in SNAPSHOT:
            snapshots[_driver(file.base_name)].append(file)
    whole = 0
    for files in snapshots.values():
        if _is_whole(filesystem, files):
            whole += 1
            continue
        for file in files:
            print(f"{file.path}: of a snapshot that a kill cut short, so it is removed")
            filesystem.delete_file(file.path)
    return whole > 1 and bool(Tuner.can_restore(sweep.place))  # `whole` counts `TUNER` as well


def _driver(name: str) -> str:
    """Return the start time of the driver that wrote a file, from its name; "" for `TUNER`."""
    return "" if name == TUNER else "-".join(name.partition(".")[0].split("-")[-3:])


def _is_sealed(path: Path) -> bool:
    """Return whether the seal covers a file: not hidden (unfinished), not written after it."""
    later = path.name.startswith((".", TUNER, CALLBACKS))
    return path.suffix[1:] in SNAPSHOT and not later


def _is_whole(filesystem: FileSystem, files: list[FileInfo]) -> bool:
    """Return whether the digests of a snapshot's files match the seal; `TUNER` has no seal."""
    content = {file.base_name: _read(filesystem, file) for file in files}
    if TUNER in content:
        return content[TUNER].endswith(pickle.STOP)
    seals = [_seal(content.pop(name)) for name in list(content) if name.startswith(CALLBACKS)]
    found = {name: hashlib.sha256(each).hexdigest() for name, each in content.items()}
    return bool(found) and seals == [found]


def _read(filesystem: FileSystem, file: FileInfo) -> bytes:
    with filesystem.open_input_file(file.path) as opened:
        content: bytes = opened.read()
    return content


def _seal(states: bytes) -> dict[str, str] | None:
    """Return the digests that `SealSnapshot` stored; None if the callbacks' states are damaged."""
    try:
        found = pickle.loads(states)
    except Exception:  # a pickle that is cut short may raise anything
        return None
    return next((state["files"] for state in found.values() if "files" in (state or {})), None)
