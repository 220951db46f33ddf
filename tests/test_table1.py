"""The runner of Table I, on a small CIFAR-10 of noise."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from experiments.array_store import ArrayStore
from experiments.baselines import without_model
from experiments.paper import cell_runner, table1
from experiments.paper.cell_runner import run_cell
from experiments.paper.cells import NO_METHOD, Cell, Size, read_cells, settings_of
from experiments.paper.table1 import Cifar, data_name
from pipeline.common.names import TEST
from pipeline.evaluation.trivial_scores import TRIVIAL_SCORES
from pipeline.models.tensor_files import save_tensors
from pipeline.scans.sources.cifar10 import SIDE
from pipeline.settings.model import LossSettings
from tests.comparing import same
from tests.models.methods import METHODS

ARGUMENTS = ["--cases", "car", "--seeds", "0", "--ngf", "2", "--epochs", "2", "--batch-size", "8",
             "--latent-dim", "4", "--search-steps", "2"]  # fmt: skip


def run(
    monkeypatch: pytest.MonkeyPatch, cifar: Path, out: Path, methods: tuple[str, ...], *more: str
) -> None:
    given = ["--data", str(cifar), "--out", str(out), "--methods", *methods, *ARGUMENTS, *more]
    monkeypatch.setattr(sys, "argv", ["table1", *given])
    table1.main()


@pytest.mark.slow
def test_every_method_has_a_cell_with_all_protocols_and_is_run_once(
    cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, cifar, tmp_path, METHODS)
    rows = read_cells(tmp_path)
    assert [row["method"] for row in rows] == list(METHODS)
    for row in rows:
        assert row["counts"] == [76, 14, 30]
        for protocol in ("honest", "reference_2019", "reference_2019_shuffled"):
            estimate = row["found"][protocol]["auc"]["anomaly_score"]
            assert estimate["low"] <= estimate["auc"] <= estimate["high"]
    assert "let the test's labels leak" in capsys.readouterr().out
    assert not list((tmp_path / "unfinished").iterdir())
    before = (tmp_path / "cells.jsonl").read_bytes()
    run(monkeypatch, cifar, tmp_path, METHODS)
    assert (tmp_path / "cells.jsonl").read_bytes() == before
    assert "epoch 1," not in capsys.readouterr().out


def test_the_reference_lines_are_of_the_same_images_and_have_no_seed(
    cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, cifar, tmp_path, (NO_METHOD,), "--seeds", "0", "1")
    (row,) = read_cells(tmp_path)
    parts = Cifar(cifar, Size()).case("car")
    values = parts.test.patches.mean(axis=(1, 2, 3))
    found = row["found"]["honest"]["auc"]
    assert found["darkness"]["auc"] == pytest.approx(roc_auc_score(~parts.test.normal, -values))
    assert found.keys() == {"pca", *TRIVIAL_SCORES}
    residual = without_model(ArrayStore(cifar, TEST, parts.test.patches), parts.train)["pca"]
    assert found["pca"]["auc"] == pytest.approx(roc_auc_score(~parts.test.normal, residual))
    assert row["counts"] == [76, 14, 30]


def test_other_images_are_other_cells(
    cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = data_name(cifar)
    assert name.startswith("cifar10-")
    monkeypatch.setattr(table1, "JPEG_COPIES", name.removeprefix("cifar10-"))
    assert data_name(cifar) == "cifar10"
    monkeypatch.undo()
    other = tmp_path / "cifar"
    shutil.copytree(cifar, other)
    with (other / "test_batch.bin").open("ab") as file:
        file.write(bytes(1 + 3 * SIDE * SIDE))
    assert data_name(other) not in {name, "cifar10"}
    for folder in (cifar, other, other):
        run(monkeypatch, folder, tmp_path, (NO_METHOD,))
    assert [row["data"] for row in read_cells(tmp_path)] == [name, data_name(other)]


def test_cells_from_before_there_were_other_patches_are_known_again(tmp_path: Path) -> None:
    cell = Cell("car", METHODS[0], 0, Size())
    row = cell.described()
    del row["data"]
    (tmp_path / "cells.jsonl").write_text(json.dumps(row) + "\n")
    assert cell.is_in(read_cells(tmp_path))
    assert not Cell("car", METHODS[0], 1, Size()).is_in(read_cells(tmp_path))


def test_a_cell_trains_at_its_size_and_with_its_seed() -> None:
    size = Size(2, latent_dim=4, epochs=3, batch_size=8, learning_rate=0.5, search_steps=6)
    found = settings_of("anogan", size, 7)
    model = found.model
    assert (model.ngf, model.ndf, model.batch_size) == (2, 2, 8)
    assert (model.learning_rate, model.search_steps) == (0.5, 6)
    assert (found.epochs, found.seed, found.losses) == (3, 7, LossSettings(0, 0, 0, 4))


def test_the_test_part_has_a_share_of_its_own(cifar: Path) -> None:
    parts = Cifar(cifar, Size(share=0.5, test_share=0.2)).case("car")
    assert [len(parts.train), len(parts.validation), len(parts.test.labels)] == [38, 7, 6]


def test_a_cell_is_trained_validated_and_tested_on_its_own_parts(
    cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def protocols_of(*given: Any) -> dict[str, Any]:
        told.extend(given)
        return {}

    monkeypatch.setattr(cell_runner, "run_protocols", protocols_of)
    cell, parts = Cell("car", METHODS[0], 7, Size()), Cifar(cifar, Size()).case("car")
    run_cell(cell, parts, tmp_path, torch.device("cpu"))
    settings, train, validation, test, protocols, *_ = told
    assert (settings.seed, train, test) == (7, parts.train, parts.test)
    assert protocols == cell.protocols
    np.testing.assert_array_equal(validation.normals, parts.validation.read(0, 14))


@pytest.mark.slow
def test_a_cell_that_was_cut_short_goes_on_to_the_same_figures(
    cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("car", METHODS[0], 0, Size(ngf=2, latent_dim=4, epochs=2, batch_size=8))
    parts, cpu = Cifar(cifar, cell.size).case("car"), torch.device("cpu")
    whole = run_cell(cell, parts, tmp_path / "whole", cpu)

    def save_and_stop(path: Path, state: dict[str, object]) -> None:
        save_tensors(path, state)
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.paper.reference_protocol.save_tensors", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell, parts, tmp_path / "cut", cpu)
    monkeypatch.undo()
    resumed = run_cell(cell, parts, tmp_path / "cut", cpu)
    assert same(json.loads(json.dumps(resumed)), json.loads(json.dumps(whole)))
