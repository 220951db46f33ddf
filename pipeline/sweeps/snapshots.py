"""Seals the snapshots of a sweep, and after a kill lets Ray resume from a sealed snapshot alone.

Ray Tune unpickles a snapshot's files, so whoever writes one of them could run code here.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType
from ray.train.constants import _get_ray_train_session_dir
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from pipeline.cluster.project_key import KEY, has_valid_signature, key_name, sign
from pipeline.cluster.storage import Storage
from pipeline.common import terminal
from pipeline.common.files import file_digest, write_atomically
from pipeline.common.lines import escape_line

TUNER = "tuner.pkl"  # not sealed: a resumed sweep overwrites it before Ray reads it
SUFFIXES = (".json", ".pkl")  # of all files from which Ray restores a sweep
SEAL = ".seal"
DATE_PARTS = 5  # of 2026-01-31_12-00-00, between hyphens
MAX_SEAL_BYTES = 2**24  # bytes; a trial takes about 60

Rungs = list[tuple[int, dict[str, float]]]  # ASHA's: an epoch, and the objectives there by trial


class SealSnapshot(Callback):
    """Writes a seal beside a snapshot's other files: their digests, with the project's key.

    It proves that all files are complete, of one moment, and of this project. Tune asks the
    callbacks for their states last. Then it copies all files to the storage, over the files of the
    previous snapshot.

    The seal contains ASHA's state as well, since Tune leaves it out. Without it, ASHA in a resumed
    sweep would compare only the trials after the kill, and would stop other trials than in an
    undisturbed sweep.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        self.scheduler = scheduler  # Tune pickles both together, so this stays Tune's scheduler
        self.folder: Path | None = None

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Store the snapshot's folder; only a trial knows it."""
        if trials and trials[0].storage:
            self.folder = Path(trials[0].storage.experiment_driver_staging_path)
            self.sweep = trials[0].storage.experiment_dir_name

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Let Ray read the error as text: it would unpickle the error from the storage."""
        trial.run_metadata.pickled_error_filename = None

    def get_state(self) -> None:
        """Write the seal of the snapshot that Tune has just written; none before any trial.

        The callbacks have no state of their own: Tune would write it after the seal.
        """
        if self.folder is None:
            return
        files = [path for path in self.folder.iterdir() if _is_state(path.name)]
        newest = max((_driver(path.name) for path in files), default="")
        digests = {path.name: file_digest(path) for path in files if _driver(path.name) == newest}
        content = {"sweep": self.sweep, "files": digests, "rungs": rungs(self.scheduler)}
        text = json.dumps({**content, "hmac": sign(content)}, indent=2)
        write_atomically(self.folder / f"snapshot-{newest}{SEAL}", text.encode())


def rungs(scheduler: TrialScheduler) -> Rungs:
    """Return ASHA's state; an empty list for other schedulers."""
    if not isinstance(scheduler, ASHAScheduler):
        return []
    rungs: Any = scheduler._brackets[0]._rungs
    return list(rungs)


def set_rungs(scheduler: TrialScheduler, rungs: Rungs) -> None:
    """Restore the state that `rungs` returned."""
    if isinstance(scheduler, ASHAScheduler):
        scheduler._brackets[0]._rungs = [(epoch, dict(objectives)) for epoch, objectives in rungs]


def sweep_name(key: str) -> str:
    """Return the name of a sweep's folder in the storage, by the sweep's key and the project's."""
    return f"tune-{key[:16]}-{key_name()}"


def warn_of_another_project(storage: Storage, name: str) -> None:
    """Print a line if the sweep is not in `storage`, but the same sweep of another project is."""
    filesystem, folder = storage.open()
    entries = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    sweeps = [each for each in entries if each.type == FileType.Directory]  # locks are files
    same = [each for each in sweeps if each.base_name.startswith(f"{name.rpartition('-')[0]}-")]
    if same and name not in [each.base_name for each in same]:
        print(
            f"{escape_line(same[0].path)}: a copy of the project with another key began this "
            f"sweep; a new sweep starts: to resume the old one, stop, copy that project's {KEY} "
            "here, and rerun",
            file=terminal.err(),
        )


def resumable_rungs(sweep: Storage) -> Rungs | None:
    """Return ASHA's state in the newest sealed snapshot of `sweep`; None without a snapshot.

    Removes all files that Ray would read and that are not of a complete, sealed snapshot. Each
    driver process overwrites its own snapshot, which is several files. A kill may leave an
    incomplete file, or files of two moments. Ray would resume from these files, as they are newer
    than the complete snapshot of an earlier driver.
    """
    filesystem, folder = sweep.open()
    entries = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    files = {file.base_name: file for file in entries}
    seals = [_read_seal(filesystem, file) for file in entries if file.base_name.endswith(SEAL)]
    complete = [
        each
        for each in seals
        if each and each["sweep"] == Path(folder).name and _is_whole(filesystem, files, each)
    ]
    sealed = {name for each in complete for name in each["files"]}
    for name in sorted(filter(_is_state, files)):
        if name not in sealed:
            _remove(filesystem, files[name])
    newest = max(complete, key=lambda each: max(map(_driver, each["files"])), default=None)
    return newest["rungs"] if newest else None


def forget_local_copies(name: str) -> None:
    """Remove the files of the sweep `name` that drivers before this one have left in Ray's folder.

    On a cluster that keeps running, Ray would restore from these as well, if they are newer.
    """
    for sweep in Path(_get_ray_train_session_dir()).glob(f"*/{name}"):
        shutil.rmtree(sweep)


def _is_state(name: str) -> bool:
    """Return whether Ray would restore a sweep's state from a file of this name."""
    return name.endswith(SUFFIXES) and name != TUNER


def _driver(name: str) -> str:
    """Return the start time of the driver that wrote a file, from its name."""
    return "-".join(name.partition(".")[0].split("-")[-DATE_PARTS:])


def _read_seal(filesystem: FileSystem, file: FileInfo) -> dict[str, Any] | None:
    """Return the content of a seal; None if it is not of this project, or incomplete."""
    if not file.is_file or file.size > MAX_SEAL_BYTES:
        return None
    try:
        content = json.loads(_read(filesystem, file))
        signature = content.pop("hmac")
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return None
    return content if has_valid_signature(content, signature) else None


def _is_whole(filesystem: FileSystem, files: dict[str, FileInfo], content: dict[str, Any]) -> bool:
    """Return whether all files that a seal names are there, with the digests in the seal."""
    return all(
        name in files
        and files[name].is_file
        and hashlib.sha256(_read(filesystem, files[name])).hexdigest() == digest
        for name, digest in content["files"].items()
    )


def _remove(filesystem: FileSystem, file: FileInfo) -> None:
    print(
        f"{escape_line(file.path)}: cut short by a kill, or not sealed with this project's {KEY}, "
        "so it is removed",
        file=terminal.err(),
    )
    if file.type == FileType.Directory:
        filesystem.delete_dir(file.path)
    else:
        filesystem.delete_file(file.path)


def _read(filesystem: FileSystem, file: FileInfo) -> bytes:
    with filesystem.open_input_file(file.path) as opened:
        content: bytes = opened.read()
    return content
