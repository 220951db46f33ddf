"""Sets of scans as tools write them, made for a test, and what the stage `scans` makes of them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.scans.catalogue import CatalogueRow, read_catalogue
from stages.scans import main

ROOT = Path(__file__).parents[2]
FORMATS = {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
SIZE = (50, 40)  # width, height
NEEDED = {"preset": "tiny", "storage": "work/ray", "cache_gb": 20, "evaluate": {}}
TINY = yaml.load((ROOT / "presets.yaml").read_text(), yaml.CSafeLoader)["tiny"]
Content = str | bytes | None | np.ndarray  # None: a picture of noise


@dataclass(frozen=True)
class Found:
    """What the stage leaves and prints."""

    rows: dict[str, CatalogueRow]
    account: str

    def classes(self) -> dict[str, tuple[str, ...]]:
        return {name: row.classes for name, row in self.rows.items()}

    def splits(self) -> dict[str, str]:
        return {name: row.split for name, row in self.rows.items()}


def noise(seed: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], channels), dtype=np.uint8)


def write_set(folder: Path, files: Mapping[str, Content]) -> Path:
    """Write files by their path: text, bytes, pictures from arrays, and None as a picture."""
    for number, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pixels = noise(number) if content is None else content
            picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels)
            picture.save(path, FORMATS.get(path.suffix.lower(), "JPEG"))
    return folder


def run_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **scans: object) -> Found:
    """Run the stage over the set in `tmp_path`/set.

    The files of parameters have only what has no default, since reading them takes most of the
    stage's time here.
    """
    block = {"folder": "set", "validation": 0.4, "test_normal": 0.3, **scans}
    params = {**NEEDED, "scans": block}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    (tmp_path / "presets.yaml").write_text(json.dumps({"tiny": TINY}))
    monkeypatch.chdir(tmp_path)
    main()
    rows = {row.scan_id: row for row in read_catalogue(Path("data/scans"))}
    account = Path("data/scans/account.txt").read_text()
    assert_it_adds_up(account, Path(str(block["folder"])))
    return Found(rows, account)


def assert_it_adds_up(account: str, folder: Path) -> None:
    """Every file of the set is in one group of the account, and ignored ones have a reason."""
    numbers = list(map(int, re.findall(r"\d+", account.splitlines()[0])))
    seen, *groups = numbers
    every = [path for path in folder.rglob("*") if not path.name.startswith(".")]
    visible = [path for path in every if path.is_symlink() or not path.is_dir()]
    assert seen == sum(groups) == len(visible)
    ignored = map(int, re.findall(r"^  ignored: (\d+) ", account, flags=re.MULTILINE))
    assert sum(ignored) == groups[-1]
