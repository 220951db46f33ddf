"""Checkpoints in Ray's storage: training resumes from the newest; failed writes are retried.

A file beside the checkpoints has the progress of the training within its epoch.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress

import ray
from pyarrow.fs import FileSelector, FileSystem, FileType

from pipeline.common import terminal
from pipeline.common.errors import InputError
from pipeline.models.tensor_files import CHECKPOINT, parse_checkpoint
from pipeline.training.loop import State

RAYS_LIST = "checkpoint_manager_snapshot.json"  # Ray Train's list of a run's checkpoints
EPOCH = "epoch-"  # begins the names of checkpoints
PROGRESS = "progress.txt"  # the number of epochs done, a fraction
WAITS = (1, 2, 4, 8, 16, 32)  # seconds between tries to write: a minute in all


def newest_state(
    filesystem: FileSystem, folder: str, key: str, last: str | None = None
) -> State | None:
    """Return the training state of the newest usable checkpoint in a folder; None without one.

    Newer checkpoints that are incomplete, or have another key, are reported and skipped.

    Args:
        filesystem: the file system of the folder.
        folder: holds a folder for each checkpoint; the newest has the last name.
        key: digest of the settings and data that the checkpoint must belong to.
        last: name of the last checkpoint to consider; later names are skipped.
    """
    refused = []
    for name in sorted(_folders(filesystem, folder), reverse=True):
        place = f"{folder}/{name}/{CHECKPOINT}"
        if last is not None and name > last:
            continue
        try:
            # Read in place. Ray would download to a temporary folder that a node's workers share:
            # the file there may be incomplete if several workers download it at once.
            with filesystem.open_input_file(place) as file:
                state = parse_checkpoint(file.read(), place, key)
        except FileNotFoundError:  # killed before the file's first byte
            continue
        except InputError as error:
            refused.append(error)
            continue
        _report_refused(refused, f"resuming from {place}")
        return state
    _report_refused(refused, "there is no other checkpoint, so training restarts")
    return None


def last_epoch(filesystem: FileSystem, folder: str) -> int:
    """Return the newest epoch that has a folder for its checkpoint; 0 without one."""
    epochs = [name.split("-")[1] for name in _folders(filesystem, folder) if name.startswith(EPOCH)]
    return max((int(epoch) for epoch in epochs if epoch.isdigit()), default=0)


def write_progress(filesystem: FileSystem, folder: str, epochs: float) -> None:
    """Write how many epochs of a training are done, a fraction; nothing if it cannot be written."""
    with suppress(OSError), filesystem.open_output_stream(f"{folder}/{PROGRESS}") as file:
        file.write(f"{epochs:.4f}".encode())


def epochs_done(filesystem: FileSystem, folder: str) -> float:
    """Return how many epochs of a training are done, by its checkpoints and `write_progress`."""
    epochs = last_epoch(filesystem, folder)
    try:
        with filesystem.open_input_file(f"{folder}/{PROGRESS}") as file:
            return max(epochs, float(file.read()))
    except (OSError, ValueError):  # not written yet, or being written
        return epochs


def drop_unusable_list(filesystem: FileSystem, folder: str) -> None:
    """Remove Ray Train's list of a run's checkpoints if Ray would refuse to start with this list.

    A kill may cut the list short: Ray overwrites it in place. Ray only prunes checkpoints by it.
    """
    place = f"{folder}/{RAYS_LIST}"
    if filesystem.get_file_info(place).type == FileType.NotFound:
        return
    with filesystem.open_input_file(place) as file:
        content = file.read()
    if not _is_usable(content, _folders(filesystem, folder)):
        print(f"{place}: cut short, or of another Ray, so it is removed", file=terminal.err())
        filesystem.delete_file(place)


def retry_writes(write: Callable[[], None], place: str) -> None:
    """Call `write`, and retry for a minute while the storage refuses.

    Raises:
        InputError: the storage still refuses after a minute.
    """
    for wait in (*WAITS, None):
        try:
            write()
        except OSError as error:
            if wait is None:
                raise InputError(
                    f"{place}: it could not be written for {sum(WAITS)} s: {error}: make it "
                    "writable, then run the same command again to resume from the last checkpoint"
                ) from None
            print(f"{place}: {error}: trying again in {wait} s", file=terminal.err(), flush=True)
            time.sleep(wait)
        else:
            return


def _is_usable(content: bytes, names: list[str]) -> bool:
    try:
        listed = json.loads(content)
        there = all(one["checkpoint_dir_name"] in names for one in listed["checkpoint_results"])
        return there and bool(listed["ray_version"] == ray.__version__)
    except (ValueError, KeyError, TypeError):  # cut short, or of another Ray
        return False


def _folders(filesystem: FileSystem, folder: str) -> list[str]:
    found = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    return [info.base_name for info in found if info.type == FileType.Directory]


def _report_refused(refused: list[InputError], outcome: str) -> None:
    for error in refused:
        print(f"{error}; {outcome}", file=terminal.err(), flush=True)
