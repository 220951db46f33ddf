"""What a killed sweep left in its storage, and whether a rerun can go on from it."""

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
SNAPSHOT = ("json", "pkl")  # what the names of its files end with


class KeepScheduler(Callback):
    """Puts into a sweep's snapshot what ASHA knows of its trials, which Tune leaves out.

    Without it, a sweep that goes on would compare with the trials after the kill alone, and so stop
    others than an undisturbed one.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        self.scheduler = scheduler  # Tune pickles both together, so it stays the one in use

    def get_state(self) -> dict[str, Any]:
        """What to write down."""
        known = vars(self.scheduler) if isinstance(self.scheduler, ASHAScheduler) else {}
        return {"scheduler": dict(known)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what was written down."""
        vars(self.scheduler).update(state["scheduler"])


class SealSnapshot(Callback):
    """Puts into a sweep's snapshot the digests of its other files: of one moment, and whole.

    Tune writes the callbacks' states last, and then copies all files to the storage, over those of
    the moment before.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Note where the files are written, which a trial knows."""
        if trials and trials[0].storage:
            self.folder = Path(trials[0].storage.experiment_driver_staging_path)

    def get_state(self) -> dict[str, Any]:
        """The SHA-256 of each of the snapshot's other files, by name; none before a trial."""
        files = [path for path in self.folder.iterdir() if _is_sealed(path)] if self.folder else []
        newest = max((_driver(path.name) for path in files), default="")
        return {"files": {p.name: file_digest(p) for p in files if _driver(p.name) == newest}}


def can_resume(sweep: Storage) -> bool:
    """Whether `sweep` holds a whole snapshot; others in it are removed.

    Each driver overwrites its snapshot, of a few files, in place: a kill may leave one cut short,
    or files of two moments, and Ray would take those, being the newest, over the whole ones of a
    driver before.
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
    return whole > 1 and bool(Tuner.can_restore(sweep.place))  # the tuner's own file counts as one


def _driver(name: str) -> str:
    """When the driver that wrote a file began, as it is named; "" of the tuner's own."""
    return "" if name == TUNER else "-".join(name.partition(".")[0].split("-")[-3:])


def _is_sealed(path: Path) -> bool:
    """Whether a file is of a snapshot, and written before the seal; hidden ones are not done."""
    later = path.name.startswith((".", TUNER, CALLBACKS))
    return path.suffix[1:] in SNAPSHOT and not later


def _is_whole(filesystem: FileSystem, files: list[FileInfo]) -> bool:
    """Whether a snapshot's files are those that were sealed; the tuner's own stands alone."""
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
    """What `SealSnapshot` put among the callbacks' states; None where they are cut short."""
    try:
        found = pickle.loads(states)
    except Exception:  # a pickle that is cut short may raise anything
        return None
    return next((state["files"] for state in found.values() if "files" in (state or {})), None)
