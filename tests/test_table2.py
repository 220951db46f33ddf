"""The runner of Table II, on the patches of small scans, and what the runners may import."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.paper import table2
from experiments.paper.cells import NO_METHOD, Size, read_cells
from experiments.paper.table2 import load_parts, patches_digest
from pipeline.common.names import TEST, TRAIN
from pipeline.evaluation.trivial_scores import darkness
from pipeline.patches import extraction
from pipeline.patches.extraction import extract_patches
from pipeline.patches.store import PatchStore
from pipeline.settings.blocks import ExtractSettings
from tests.arrays import ArraySource, clutter, make_set
from tests.imports import ORCHESTRATION, import_closure, imported_names
from tests.models.methods import METHODS

ARGUMENTS = ["--seeds", "0", "--ngf", "2", "--epochs", "1", "--batch-size", "8", "--latent-dim",
             "4", "--search-steps", "2"]  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, patches: Path, out: Path, *more: str) -> None:
    given = ["--patches", str(patches), "--set", "small", "--out", str(out), *ARGUMENTS, *more]
    monkeypatch.setattr(sys, "argv", ["table2", *given])
    table2.main()


@pytest.mark.slow
def test_every_method_has_a_cell_with_each_class_and_is_run_once(
    patches: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(monkeypatch, patches, tmp_path)
    rows = read_cells(tmp_path)
    assert [row["method"] for row in rows] == [NO_METHOD, *METHODS]
    for row in rows:
        assert row["data"] == patches_digest(patches)
        for found in row["found"].values():
            assert found["classes"].keys() == {"gun", "knife"}
            counts = [scores["pca" if row["method"] == NO_METHOD else "anomaly_score"]["abnormal"]
                      for scores in (*found["classes"].values(), found["auc"])]  # fmt: skip
            assert counts[0] + counts[1] == counts[2] > 0
    before = (tmp_path / "cells.jsonl").read_bytes()
    capsys.readouterr()
    run(monkeypatch, patches, tmp_path)
    assert (tmp_path / "cells.jsonl").read_bytes() == before
    assert "epoch 1," not in capsys.readouterr().out


@pytest.mark.slow
def test_the_reference_lines_are_those_of_the_test_part(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, patches, tmp_path, "--methods", NO_METHOD)
    (row,) = read_cells(tmp_path)
    test = PatchStore(patches, TEST)
    used = (test.labels == "normal") | (test.labels == "knife")
    scores = darkness(test.read(0, len(test)))
    expected = roc_auc_score(test.labels[used] == "knife", scores[used])
    found = row["found"]["honest"]["classes"]["knife"]["darkness"]
    assert found["auc"] == pytest.approx(expected)


@pytest.mark.slow
def test_other_patches_are_other_cells(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, patches, tmp_path, "--methods", NO_METHOD)
    (row,) = read_cells(tmp_path)
    (tmp_path / "cells.jsonl").write_text(json.dumps({**row, "data": "others"}) + "\n")
    run(monkeypatch, patches, tmp_path, "--methods", NO_METHOD)
    assert [each["data"] for each in read_cells(tmp_path)] == ["others", row["data"]]


@pytest.mark.slow
def test_the_digest_is_of_the_patches_not_of_the_code_that_cut_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(name: str, **changed: np.ndarray) -> tuple[str, str]:
        rows, folder = make_set(tmp_path / name, changed=changed), tmp_path / name / "patches"
        manifest = extract_patches(folder, rows, ArraySource(), ExtractSettings(size=16, stride=8))
        return patches_digest(folder), manifest["data"]

    first, data = cut("first")
    for name in ("s00", "s03", "s04"):  # trains, validates, tests
        assert cut(name, **{name: clutter(99, 3)})[0] != first
    monkeypatch.setattr(extraction, "deciding_code", lambda _: "other")
    again, named = cut("again")
    assert again == first
    assert named != data


def test_a_share_is_of_the_patches_of_the_whole(patches: Path) -> None:
    parts = load_parts(patches, Size(share=0.5, test_share=0.25))
    whole = load_parts(patches, Size())
    assert len(parts.train) == round(len(whole.train) / 2)
    assert len(parts.test.labels) == round(len(whole.test.labels) / 4)
    assert len(whole.train) == len(PatchStore(patches, TRAIN))
    known = {patch.tobytes() for patch in whole.train.read(0, len(whole.train))}
    assert all(patch.tobytes() in known for patch in parts.train.read(0, len(parts.train)))
    tested = zip(whole.test.patches, whole.test.labels, whole.test.scan_ids, strict=True)
    about = {patch.tobytes(): (label, scan_id) for patch, label, scan_id in tested}
    used = zip(parts.test.labels, parts.test.scan_ids, strict=True)
    assert [about[patch.tobytes()] for patch in parts.test.patches] == list(used)


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "detection/ceiling",
        "detection/compare",
        "detection/judging",
        "paper/cell_runner",
        "paper/cells",
        "paper/table1",
        "paper/table2",
    ],
)
def test_a_runner_needs_no_orchestration(module: str) -> None:
    names = list(imported_names(f"experiments/{module}.py"))
    for path in {path for name in names for path in import_closure(name)}:
        names += imported_names(path)
    assert not {name.split(".", maxsplit=1)[0] for name in names} & set(ORCHESTRATION)
