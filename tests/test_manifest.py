"""A manifest that we did not write is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import InputError
from pipeline.patches.manifest import MANIFEST, read_manifest
from tests.stores import store_of

Change = Callable[[dict[str, Any]], object]


def shard(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["splits"]["train"]["shards"][1]
    return found


def setting(key: str, value: object) -> Change:
    return lambda manifest: manifest.update({key: value})


def setting_of_shard(key: str, value: object) -> Change:
    return lambda manifest: shard(manifest).update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setting("settings", {"size": 0}), "settings.size: got 0, expected a whole number above 0"),
        (setting("settings", [16]), "settings.size: got None, expected a whole number above 0"),
        (setting("channels", 4), "channels: got 4, expected 1 to 3"),
        (setting("channels", True), "channels: got True, expected 1 to 3"),
        (setting("classes", ["a", "a"]), "classes: got ['a', 'a'], expected a list of names, each"),
        (setting("classes", []), "classes: got [], expected a list of names, each once"),
        (setting("data", "../../x"), "data: got '../../x', expected a digest in hex"),
        (setting("data", "0" * 16 + "/x"), "data: got '0000000000000000/x', expected a digest in"),
        (setting("labelled_bags", -1), "labelled_bags: got -1, expected a whole number, 0 or"),
        (setting("splits", [1]), "splits: got [1], expected a mapping of splits"),
        (setting("splits", {"test": 1}), "splits.test.shards: got None, expected a list of shards"),
        (lambda m: m["splits"]["train"]["shards"].append(7),
         "splits.train.shards[2]: got 7, expected a mapping"),
        (setting_of_shard("file", "../../../.ssh/authorized_keys"),
         "splits.train.shards[1].file: got '../../../.ssh/authorized_keys', expected the plain"),
        (setting_of_shard("file", "/etc/passwd"), ".file: got '/etc/passwd', expected the plain"),
        (setting_of_shard("file", ".."), ".file: got '..', expected the plain name of a file in"),
        (setting_of_shard("file", "a\\b.h5"), ".file: got 'a\\\\b.h5', expected the plain name"),
        (setting_of_shard("file", "a\x1b[2J.h5"), ".file: got 'a\\x1b[2J.h5', expected the plain"),
        (setting_of_shard("file", 3), ".file: got 3, expected the plain name of a file in the"),
        (setting_of_shard("file", "train-0.h5"), "splits: got 'train-0.h5', expected each shard"),
        (setting_of_shard("windows", 1.5), ".windows: got 1.5, expected a whole number, 0 or more"),
        (setting_of_shard("windows", -1), ".windows: got -1, expected a whole number, 0 or more"),
        (setting_of_shard("bytes", "9"), ".bytes: got '9', expected a whole number, 0 or more"),
        (setting_of_shard("sha256", "0" * 63), ".sha256: got '000"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, change: Change, message: str) -> None:
    store_of(tmp_path, [3, 4])
    path = tmp_path / MANIFEST
    manifest = json.loads(path.read_text())
    assert read_manifest(tmp_path) == manifest
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError) as error:
        read_manifest(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert str(error.value).endswith(": run `dvc repro -sf extract`")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"7", b"[" * 100_000])
def test_what_is_no_manifest_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=f"{MANIFEST}: not a manifest") as error:
        read_manifest(tmp_path)
    assert "\n" not in str(error.value)
