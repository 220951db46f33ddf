"""Cells of a pretrained network: the bank against a slow search, the grid, and the whole line."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.array_store import ArrayStore
from experiments.detection import pretrained
from experiments.detection.pretrained import (
    cell_scores,
    cells_of,
    cells_of_maps,
    drawn_bank,
    nearest_distances,
)
from pipeline.common.errors import InputError
from pipeline.common.names import LABELLED_VALIDATION, TRAIN
from pipeline.patches.store import PatchStore


def cells(count: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 9, 4)))


def test_a_window_has_the_highest_and_the_mean_distance_from_the_nearest_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pretrained, "CHUNK", 7)
    bank, judged = cells(3, 0).flatten(0, 1), cells(5, 1)
    slow = [
        [min(float((cell - kept).norm()) for kept in bank) for cell in window] for window in judged
    ]
    found = cell_scores(bank, judged)
    np.testing.assert_allclose(found["cells, maximum"], [max(each) for each in slow])
    np.testing.assert_allclose(found["cells, mean"], [np.mean(each) for each in slow])


@pytest.mark.slow
def test_a_bank_is_drawn_from_the_cells_of_all_windows() -> None:
    normals = cells(20, 0)
    drawn = drawn_bank(normals, 50)
    places = [int(row) for cell in drawn for row in np.flatnonzero(is_cell(normals, cell))]
    assert len(set(places)) == len(places) == 50
    assert len({place // 9 for place in places}) > 15  # windows
    torch.testing.assert_close(drawn, drawn_bank(normals, 50))
    assert len(drawn_bank(normals, 1000)) == 180


def is_cell(normals: torch.Tensor, cell: torch.Tensor) -> np.ndarray:
    return (normals.flatten(0, 1) == cell).all(dim=1).numpy()


def test_a_cell_is_the_mean_of_its_neighbourhood_in_both_stages() -> None:
    rng = np.random.default_rng(0)
    fine, coarse = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(2, 5, 4, 4))
    found = cells_of_maps([torch.from_numpy(fine), torch.from_numpy(coarse)])
    assert found.shape == (2, 64, 8)
    inside, corner = found[1, 2 * 8 + 5].numpy(), found[1, 7].numpy()
    np.testing.assert_allclose(inside[:3], fine[1, :, 1:4, 4:7].mean(axis=(1, 2)))
    np.testing.assert_allclose(corner[:3], fine[1, :, :2, 6:].mean(axis=(1, 2)))
    np.testing.assert_allclose(corner[3:], coarse[1, :, :2, 2:].mean(axis=(1, 2)))


def test_two_energies_are_refused() -> None:
    store = ArrayStore(Path(), TRAIN, np.zeros((1, 32, 32, 2), np.uint8))
    with pytest.raises(InputError, match="2 channels, expected 1 or 3"):
        cells_of(pretrained.pretrained_network(), store, np.arange(1))


@pytest.mark.slow
def test_no_judged_cell_is_in_the_bank(
    patches: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged: dict[str, np.ndarray] = {}
    monkeypatch.setattr(pretrained, "scores_text", lambda scores, *_: str(judged.update(scores)))
    monkeypatch.setattr(sys, "argv", ["pretrained", "--patches", str(patches)])
    pretrained.main()
    train, labelled = PatchStore(patches, TRAIN), PatchStore(patches, LABELLED_VALIDATION)
    assert list(judged) == ["metal_amount", "chosen, fisher", "cells, maximum", "cells, mean"]
    assert all(scores.shape == (len(labelled),) for scores in judged.values())
    network = pretrained.pretrained_network()
    every = [cells_of(network, store, np.arange(len(store))) for store in (train, labelled)]
    bank = drawn_bank(every[0], pretrained.BANK_CELLS)
    assert f"bank: {len(bank)} cells" in capsys.readouterr().out
    np.testing.assert_allclose(
        judged["cells, mean"], nearest_distances(bank, every[1]).mean(axis=1), rtol=1e-3
    )
