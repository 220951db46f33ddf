"""The project's key, which signs the project's files in the storage, where others may write."""

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.common.errors import InputError
from pipeline.common.files import project_root, write_atomically

KEY = Path(".skipscan", "key")  # in the project's root
KEY_BYTES = 32
READABLE_BY_MORE = 0o027  # bits of a mode: others may read, or the group may write


def project_key() -> bytes:
    """Return the project's key; make it at its first use, in a file that only the user can read.

    Raises:
        InputError: the file belongs to neither this user nor root, others can read it, the group
            can write it, or it is not a key.
        OSError: the file cannot be written.
    """
    path = project_root() / KEY
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with FileLock(path.with_name(".lock")):  # a stage that starts at the same time
            if not path.exists():
                write_atomically(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
    found = path.stat()
    if found.st_uid not in (0, os.getuid()) or found.st_mode & READABLE_BY_MORE:
        raise InputError(
            f"{path}: expected a file of yours or root's, closed to others and not writable by the "
            "group, since it signs what Ray restores: run chmod 600 on it, or remove it if others "
            "may have read it"
        )
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise InputError(f"{path}: got {len(key)} bytes, expected {KEY_BYTES}: remove it")
    return key


def key_name() -> str:
    """Return 8 hex digits that identify the project's key without revealing it."""
    return sign("name")[:8]


def sign(content: Any) -> str:
    """Return the HMAC-SHA256, in hex, of JSON-like content with the project's key."""
    text = json.dumps(content, sort_keys=True).encode()
    return hmac.new(project_key(), text, hashlib.sha256).hexdigest()


def has_valid_signature(content: Any, found: object) -> bool:
    """Return whether `found` is the signature of the content by `sign`."""
    return isinstance(found, str) and hmac.compare_digest(sign(content).encode(), found.encode())
