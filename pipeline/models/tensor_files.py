"""Tensors on disk: written atomically, read without running any code in the file."""

import io
import pickle
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from pipeline.common.errors import InputError, on_one_line
from pipeline.common.files import write_atomically

CHECKPOINT = "checkpoint.pt"
DIGEST_BYTES = 32  # each file ends with the SHA-256 of its content: torch checks no checksum


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


def parse_tensors(content: bytes, name: str) -> dict[str, Any]:
    """Parse the bytes of a file of `save_tensors`.

    Args:
        content: the bytes.
        name: of the file, for messages.

    Raises:
        InputError: the file is incomplete, or holds more than plain data.
    """
    written, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if sha256(written).digest() != digest:
        raise _damaged(name)
    try:
        tensors = torch.load(io.BytesIO(written), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise _damaged(name, "it holds more than plain data, which is not loaded: ") from None
    except Exception as error:  # torch raises anything, whatever the damage leads it to
        first_sentence = on_one_line(error).partition(". ")[0]
        raise _damaged(name, f"{first_sentence or type(error).__name__}: ") from None
    if not isinstance(tensors, dict):
        raise _damaged(name)
    return tensors


def _damaged(name: str, reason: str = "") -> InputError:
    return InputError(
        f"{name}: incomplete or foreign file of tensors: {reason}remove it, or train again"
    )


def save_checkpoint(folder: Path, state: dict[str, Any], key: str) -> None:
    """Write a training state with the key of its settings and data."""
    save_tensors(folder / CHECKPOINT, {"key": key, "state": state})


def parse_checkpoint(content: bytes, name: str, key: str) -> dict[str, Any]:
    """Return the training state in a checkpoint file's bytes; `name` names the file in errors.

    Raises:
        InputError: the file is incomplete, or belongs to other settings or data.
    """
    tensors = parse_tensors(content, name)
    saved_key, state = tensors.get("key"), tensors.get("state")
    if not isinstance(saved_key, str) or not isinstance(state, dict):
        raise _damaged(name, "it has no key and state: ")
    if saved_key != key:
        raise InputError(
            f"{name}: a checkpoint of other settings or data "
            f"({saved_key[:12]}, expected {key[:12]}): remove it to restart"
        )
    return state
