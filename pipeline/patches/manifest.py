"""The manifest of a folder of patches, checked: it may have come from storage that others write."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.common.errors import InputError
from pipeline.common.files import is_plain_name, write_json
from pipeline.common.names import MAX_CHANNELS
from pipeline.patches.shard_file import FORMAT

MANIFEST = "manifest.json"
LABELLED_BAGS = "labelled_bags"  # a key of it
REDO = "run `dvc repro -sf extract`"
DATA = re.compile("[0-9a-f]{16,64}")
SHA256 = re.compile("[0-9a-f]{64}")


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest. It is written last, so a folder without a manifest is unfinished."""
    write_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a finished folder.

    Raises:
        InputError: there is no manifest, or not one that we write.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file: run `dvc repro extract` to finish the patches"
        ) from None
    return parse_manifest(content, str(path))


def parse_manifest(content: bytes, place: str) -> dict[str, Any]:
    """Return the manifest in the bytes of a file, which `place` names in errors.

    Its keys are `format`, `settings` (with `size`, the side of a patch), `channels`, `classes`,
    `data` (digest of the patches), `labelled_bags` (how many, with a threat each, teach a score)
    and `splits`: for each, by name, `shards`, a list of `file` (a plain name) and `windows` (how
    many), with `bytes` and `sha256` where they are shared.

    Raises:
        InputError: it is of another format, or a key is missing or has a wrong value.
    """
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not a manifest: {str(error)[:80]}: {REDO}") from None
    if not isinstance(manifest, dict):
        raise InputError(f"{place}: not a manifest: {REDO}")
    if manifest.get("format") != FORMAT:
        raise InputError(f"{place}: format {manifest.get('format')}, expected {FORMAT}: {REDO}")
    _require_whole(manifest, place)
    return manifest


def _require_whole(manifest: dict[str, Any], place: str) -> None:
    settings, splits = manifest.get("settings"), manifest.get("splits")
    bags = manifest.get(LABELLED_BAGS, 0)
    size = settings.get("size") if isinstance(settings, dict) else None
    channels, classes, data = (manifest.get(name) for name in ("channels", "classes", "data"))
    for name, value, fits, expected in (
        ("settings.size", size, _is_count(size, 1), "a whole number above 0"),
        ("channels", channels, _is_count(channels, 1, MAX_CHANNELS), f"1 to {MAX_CHANNELS}"),
        ("classes", classes, _are_names(classes), "a list of names, each once"),
        ("data", data, _matches(DATA, data), "a digest in hex"),
        (LABELLED_BAGS, bags, _is_count(bags), "a whole number, 0 or more"),
        ("splits", splits, isinstance(splits, dict), "a mapping of splits"),
    ):
        _require(fits, f"{place}: {name}", value, expected)
    assert isinstance(splits, dict)
    files: Counter[str] = Counter()
    for name, split in splits.items():
        shards = split.get("shards") if isinstance(split, dict) else None
        where = f"{place}: splits.{name}.shards"
        _require(isinstance(shards, list), where, shards, "a list of shards")
        for number, shard in enumerate(shards or []):
            _require_shard(shard, f"{where}[{number}]")
            files[shard["file"]] += 1
    for file, count in files.items():
        _require(count == 1, f"{place}: splits", file, "each shard once")


def _require_shard(shard: Any, where: str) -> None:
    _require(isinstance(shard, dict), where, shard, "a mapping")
    for name, fits, expected in (
        ("file", is_plain_name(shard.get("file")), "the plain name of a file in the same folder"),
        ("windows", _is_count(shard.get("windows")), "a whole number, 0 or more"),
        ("bytes", _is_count(shard.get("bytes", 0)), "a whole number, 0 or more"),
        ("sha256", _matches(SHA256, shard.get("sha256", "0" * 64)), "a digest in hex"),
    ):
        _require(fits, f"{where}.{name}", shard.get(name), expected)


def _require(holds: bool, where: str, got: object, expected: str) -> None:
    if not holds:
        raise InputError(f"{where}: got {got!r:.80}, expected {expected}: {REDO}")


def _is_count(value: Any, least: int = 0, most: int = 2**63) -> bool:
    return type(value) is int and least <= value <= most


def _are_names(values: Any) -> bool:
    names = isinstance(values, list) and all(isinstance(name, str) and name for name in values)
    return names and len(set(values)) == len(values) > 0


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
