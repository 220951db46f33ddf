"""Tensors on disk: written atomically, read without running any code in the file."""

import io
import pickle
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from pipeline.common.errors import InputError
from pipeline.common.files import write_atomically

CHECKPOINT = "checkpoint.pt"
SEAL_BYTES = 32  # each file ends with the SHA-256 of its content: torch checks no checksum


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, lists and dicts of them, atomically."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.write(sha256(buffer.getbuffer()).digest())
    write_atomically(path, buffer.getvalue())


def load_tensors(path: Path) -> dict[str, Any]:
    """Read a file of `save_tensors`, onto the CPU.

    Raises:
        InputError: the file is missing, incomplete, or holds more than plain data.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: run `dvc repro train`, or name another model")
    return parse_tensors(path.read_bytes(), str(path))


def parse_tensors(content: bytes, place: str) -> dict[str, Any]:
    """Parse the bytes of a file of `save_tensors`; `place` names the file in errors."""
    written, seal = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
    if sha256(written).digest() != seal:
        raise InputError(
            f"{place}: incomplete or foreign checkpoint file: remove it, or train again"
        )
    try:
        tensors = torch.load(io.BytesIO(written), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{place}: incomplete or foreign checkpoint file: it holds more than plain data, "
            "which is not loaded: remove it, or train again"
        ) from None
    except Exception as error:  # torch raises anything, whatever the damage leads it to
        reason = " ".join(str(error).split(". ")[0].split())[:120]
        raise InputError(
            f"{place}: incomplete or foreign checkpoint file: {reason or type(error).__name__}: "
            "remove it, or train again"
        ) from None
    if not isinstance(tensors, dict):
        raise InputError(
            f"{place}: incomplete or foreign checkpoint file: remove it, or train again"
        )
    return tensors


def save_checkpoint(folder: Path, state: dict[str, Any], key: str) -> None:
    """Write a training state with the key of its settings and data."""
    save_tensors(folder / CHECKPOINT, {"key": key, "state": state})


def parse_checkpoint(content: bytes, place: str, key: str) -> dict[str, Any]:
    """Return the training state in a checkpoint file's bytes; `place` names the file in errors.

    Raises:
        InputError: the file is incomplete, or belongs to other settings or data.
    """
    tensors = parse_tensors(content, place)
    found, state = tensors.get("key"), tensors.get("state")
    if not isinstance(found, str) or not isinstance(state, dict):
        raise InputError(
            f"{place}: incomplete or foreign checkpoint file: no key and state: remove it"
        )
    if found != key:
        raise InputError(
            f"{place}: a checkpoint of other settings or data "
            f"({found[:12]}, expected {key[:12]}): remove it to restart"
        )
    return state
