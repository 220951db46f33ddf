"""What a killed sweep left in its storage, and whether a rerun can go on from it."""

import json
import pickle
from collections import defaultdict
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileSystem
from ray.tune import Callback, Tuner
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

TUNER = "tuner.pkl"
STATE, SAMPLERS = "experiment_state", ("search_gen_state", "basic-variant-state")
CALLBACKS = "callback-states"


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


def can_go_on(sweep: str) -> bool:
    """Whether the folder or address `sweep` holds a whole snapshot; others in it are removed.

    Each driver overwrites its snapshot, of a few files, in place: a kill may leave one cut short
    or missing, and Ray would take that, being the newest, over the whole one of a driver before.
    """
    filesystem, folder = FileSystem.from_uri(sweep)
    snapshots = defaultdict(list)
    for file in filesystem.get_file_info(FileSelector(folder, allow_not_found=True)):
        if file.is_file and file.extension in ("json", "pkl"):
            snapshots[_driver(file)].append(file)
    whole = 0
    for files in snapshots.values():
        if _complete(files) and all(_is_whole(filesystem, file) for file in files):
            whole += 1
            continue
        for file in files:
            print(f"{file.path}: of a snapshot that a kill cut short, so it is removed")
            filesystem.delete_file(file.path)
    return whole > 1 and bool(Tuner.can_restore(sweep))  # the tuner's own file counts as one


def _driver(file: FileInfo) -> str:
    """When the driver that wrote it began, as its files are named; "" of the tuner's own."""
    day_and_time = file.base_name.partition(".")[0].split("-")[-3:]
    return "" if file.base_name == TUNER else "-".join(day_and_time)


def _complete(files: list[FileInfo]) -> bool:
    """Whether a snapshot has trials, sampler and scheduler; the tuner's own file stands alone."""
    names = [file.base_name for file in files]
    kinds = (STATE, SAMPLERS, CALLBACKS)
    return names == [TUNER] or all(any(n.startswith(kind) for n in names) for kind in kinds)


def _is_whole(filesystem: FileSystem, file: FileInfo) -> bool:
    """The trials are JSON; all else is pickled, whatever its name, and ends with pickle's stop."""
    with filesystem.open_input_file(file.path) as opened:
        content = opened.read()
    if not file.base_name.startswith(STATE):
        return content.endswith(pickle.STOP)
    try:
        json.loads(content)
    except ValueError:
        return False
    return True
