"""Tensors on disk: written whole, read without running anything that is in the file."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import InputError
from pipeline.files import write_whole

CHECKPOINT = "checkpoint.pt"


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, lists and dicts of them, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def load_tensors(path: Path) -> dict[str, Any]:
    """Read what `save_tensors` wrote, onto the CPU.

    Raises:
        InputError: the file is missing, not whole, or holds anything but plain data.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: run `dvc repro train`")
    # What torch writes is a ZIP archive, whose directory is at its end, so this finds cut files.
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a whole checkpoint of ours: remove it, or train again")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a whole checkpoint of ours: {reason}") from None
    return content


def save_checkpoint(folder: Path, state: dict[str, Any], key: str) -> None:
    """Write a training state with the key of the settings and data that it belongs to."""
    save_tensors(folder / CHECKPOINT, {"key": key, "state": state})


def load_checkpoint(folder: Path, key: str) -> dict[str, Any]:
    """Read a training state back.

    Raises:
        InputError: it is not whole, or belongs to other settings or data.
    """
    content = load_tensors(folder / CHECKPOINT)
    if content["key"] != key:
        raise InputError(
            f"{folder / CHECKPOINT}: a checkpoint of other settings or data "
            f"({content['key'][:12]}, expected {key[:12]}): remove {folder} to start anew"
        )
    state: dict[str, Any] = content["state"]
    return state
