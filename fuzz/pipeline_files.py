"""The readers of files that the stages hand on, which may come from a storage that others write."""

import hashlib
import json
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from fuzz.checksums import with_hdf5_checksums
from fuzz.target import Target
from pipeline.models.bag_scores import Tails
from pipeline.models.interface import method_of
from pipeline.models.nets import NetShape
from pipeline.models.tensor_files import CHECKPOINT, DIGEST_BYTES, parse_checkpoint, save_checkpoint
from pipeline.models.trained_model import Calibration, TrainedModel
from pipeline.patches.kept_windows import KeptWindows
from pipeline.patches.manifest import MANIFEST, read_manifest
from pipeline.patches.shard_file import FORMAT, Shard, ShardAttributes, ShardWriter
from pipeline.scans.catalogue import CATALOGUE, CatalogueRow, read_catalogue
from pipeline.settings.model import ModelSettings
from pipeline.settings.params import Settings, load_settings
from pipeline.settings.windows import WindowRule
from pipeline.sweeps.results import BEST, Best, choose_settings, read_best

ROOT = Path(__file__).parents[1]
SHA256 = "0" * 64
SIDE, ROWS = 16, 3
SHAPE = NetShape(side=SIDE, channels=1, ngf=1, ndf=1, latent_dim=2)


def _shards() -> list[bytes]:
    labels = ("normal", "gun", "normal")
    windows = KeptWindows(np.zeros((ROWS, 2), np.int32), labels, grazing=1, background=2)
    pixels = np.random.default_rng(0).integers(0, 256, (ROWS, SIDE, SIDE, 1), dtype=np.uint8)
    about = ShardAttributes("train", {"size": SIDE}, 1, "as they are", SHA256, SHA256)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.h5")
        with ShardWriter(Path(folder), SIDE, 1) as writer:
            writer.add_scan("scan", windows, [pixels])
            writer.finish(path, about)
        return [path.read_bytes()]


def _read_shard(content: bytes, folder: Path) -> None:
    (folder / "a.h5").write_bytes(content)
    shard = Shard(folder / "a.h5")
    try:
        shard.verify()
    finally:
        shard.close()


def _models() -> list[bytes]:
    settings = ModelSettings(
        ngf=1, ndf=1, batch_size=2, learning_rate=1e-3, beta1=0.5, beta2=0.9, score_lambda=0.9
    )
    built = method_of(settings).build_networks(SHAPE, 0)
    networks = {name: network.state_dict() for name, network in built.items()}
    bounds = Calibration(0.0, 1.0, 0.5, 0.05)
    tails = Tails.of(np.arange(4.0), np.array(["a", "a", "b", "b"]))
    rule = WindowRule(size=SIDE, stride=SIDE)
    model = TrainedModel(SHAPE, networks, settings, bounds, {"epoch": 1}, tails, rule)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pt")
        model.save(path)
        return [path.read_bytes()]


def _read_model(content: bytes, folder: Path) -> None:
    (folder / "model.pt").write_bytes(content)
    TrainedModel.load(folder / "model.pt").detector()


def _with_digest(content: bytes) -> bytes:
    """Return a file of tensors with the right SHA-256 at its end."""
    written = content[:-DIGEST_BYTES]
    return written + hashlib.sha256(written).digest()


def _checkpoints() -> list[bytes]:
    state = {"epoch": 1, "history": [{"loss": 0.5}]}
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), state, SHA256)
        return [Path(folder, CHECKPOINT).read_bytes()]


def _read_checkpoint(content: bytes, folder: Path) -> None:
    parse_checkpoint(content, str(folder / CHECKPOINT), SHA256)


def _manifests() -> list[bytes]:
    shard = {"file": "a.h5", "windows": 3, "bytes": 900, "sha256": SHA256}
    content = {
        "format": FORMAT,
        "settings": {"size": SIDE, "stride": 8},
        "channels": 1,
        "classes": ["normal", "gun"],
        "data": SHA256,
        "splits": {"train": {"shards": [shard]}, "test": {"shards": []}},
    }
    return [json.dumps(content).encode()]


def _read_manifest(content: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(content)
    read_manifest(folder)


def _catalogues() -> list[bytes]:
    rows = [
        CatalogueRow("a", "train", (), ("raw/a.png",), (SHA256,)),
        CatalogueRow("b", "test", ("gun",), ("raw/b.png", "raw/b.xml"), (SHA256, SHA256)),
    ]
    return ["".join(json.dumps(asdict(row)) + "\n" for row in rows).encode()]


def _read_catalogue(content: bytes, folder: Path) -> None:
    (folder / CATALOGUE).write_bytes(content)
    for row in read_catalogue(folder):
        row.entry()


def _bests() -> list[bytes]:
    lambdas = {"lambda_adv": 1.0, "lambda_con": 40.0, "lambda_lat": 1.0, "latent_dim": 10}
    best = Best({**lambdas, "learning_rate": 1e-3}, "labelled_auc", 0.75, 4, "run")
    return [json.dumps(asdict(best)).encode()]


@cache
def _settings() -> Settings:
    return load_settings(ROOT / "params.yaml", ROOT / "presets.yaml")


def _read_best(content: bytes, folder: Path) -> None:
    (folder / BEST).write_bytes(content)
    choose_settings(_settings().model, _settings().train, read_best(folder))


SHARD = Target(_shards, _read_shard, 64, with_hdf5_checksums)
MODEL = Target(_models, _read_model, 64, _with_digest)
CHECKPOINTS = Target(_checkpoints, _read_checkpoint, 64, _with_digest)
MANIFESTS = Target(_manifests, _read_manifest, 64)
CATALOGUES = Target(_catalogues, _read_catalogue, 64)
BESTS = Target(_bests, _read_best, 64)
