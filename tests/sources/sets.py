"""Sets of scans as tools write them, made for a test, and what the stage `scans` makes of them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.scans.catalogue import CatalogueRow, read_catalogue
from pipeline.scans.scan import Scan
from pipeline.scans.sources.registry import open_source
from pipeline.settings.params import load_settings
from stages.scans import main
from tests.imports import ROOT

FORMATS = {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
SIZE = (50, 40)  # width, height
NEEDED = {"preset": "tiny", "storage": "work/ray", "cache_gb": 20, "evaluate": {}}
TINY = yaml.load((ROOT / "presets.yaml").read_text(), yaml.CSafeLoader)["tiny"]
Content = str | bytes | None | np.ndarray  # None: a picture of noise
GUN = "0 0.4 0.3125 0.4 0.375"  # a line of YOLO's: of 50x40, columns 10 to 29, rows 5 to 19
BOX = (slice(5, 20), slice(10, 30))  # the same
NAMES = "names: [gun, bottle]\n"
NORMALS = [f"normal{number}" for number in range(8)]
PICTURES = [f"{name}.png" for name in NORMALS]


@dataclass(frozen=True)
class Found:
    """What the stage leaves and prints."""

    rows: dict[str, CatalogueRow]
    account: str

    def classes(self) -> dict[str, tuple[str, ...]]:
        return {name: row.classes for name, row in self.rows.items()}

    def threats(self) -> set[str]:
        """The scans that have a class."""
        return {name for name, row in self.rows.items() if row.classes}

    def splits(self) -> dict[str, str]:
        return {name: row.split for name, row in self.rows.items()}

    def scans(self) -> dict[str, Scan]:
        """The scans, as extraction reads them."""
        source = open_source(load_settings().scans, Path("data/scans"))
        return {name: source.read(row.entry()) for name, row in self.rows.items()}


def noise(seed: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], channels), dtype=np.uint8)


def in_folder(folder: str) -> dict[str, Content]:
    """Eight pictures without labels."""
    return {f"{folder}/{name}": None for name in PICTURES}


def xml(*boxes: tuple[str, int, int, int, int], more: str = "") -> str:
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for name, x, y, right, bottom in boxes
    )
    return f"<annotation>{more}{objects}</annotation>"


GUN_XML = xml(("gun", 11, 6, 30, 20))


def coco(names: list[str], guns: Mapping[str, Mapping[str, Any]], **image: Any) -> str:
    """A COCO file of some images; `guns` has a record for each image that shows one."""
    size = {"width": SIZE[0], "height": SIZE[1], **image}
    return json.dumps(
        {
            "images": [
                {"id": i, "file_name": n, **{k: v for k, v in size.items() if v is not None}}
                for i, n in enumerate(names)
            ],
            "categories": [{"id": 7, "name": "gun"}],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 7, "bbox": [10, 5, 20, 15], **guns[name]}
                for i, name in enumerate(names)
                if name in guns
            ],
        }
    )


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


class Stage:
    """The stage, over a set in a folder of its own."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path / "set"
        self._tmp_path, self._monkeypatch = tmp_path, monkeypatch

    def __call__(self, files: Mapping[str, Content], **scans: object) -> Found:
        write_set(self.folder, files)
        settings = {"source": "yolo", "classes": {"gun": "gun"}, **scans}
        return run_stage(self._tmp_path, self._monkeypatch, **settings)
