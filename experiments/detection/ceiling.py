"""A small supervised network, for comparison: how well can a window's label be predicted?

    dvc repro extract
    python -m experiments.detection.ceiling --patches data/patches

The network learns from labelled windows of generated scans with a seed of their own, and is judged
on the labelled validation scans (README.md in this folder). It is no detection method, because it
knows the threats beforehand. More steps and a wider network would find more, so its result is a
lower bound of the possible. It does not read the test split.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from experiments.detection.judging import WindowLabels, require_labels, scores_text
from experiments.run import run_main
from pipeline.common.names import LABELLED_VALIDATION, NORMAL, Patches, Scores
from pipeline.evaluation.trivial_scores import metal_amount
from pipeline.models.nets import seeded
from pipeline.models.pixels import to_tensor
from pipeline.patches.manifest import read_manifest
from pipeline.patches.store import PatchStore
from pipeline.patches.windows import keep_windows, window_pixels
from pipeline.scans.generated.generator import render_scan
from pipeline.settings.windows import WindowRule
from pipeline.training.loop import CPU

SEED = 777  # of the scans, none of which is in a set of the pipeline with another seed
WIDTHS = (16, 32, 64, 96)
ABNORMAL, NORMALS = 32, 64  # windows in a batch
PER_SCAN = 40  # normal windows that are kept of each scan
LEARNING_RATE = 4e-3


def supervised_network(channels: int) -> nn.Sequential:
    """Return a network from patches (N, C, S, S) in [-1, 1], S >= 32, to logits (N, 1)."""
    blocks = [_block(narrow, wide) for narrow, wide in pairwise((channels, *WIDTHS))]
    pooled = 4 * WIDTHS[-1]
    head = (nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(pooled, 1))
    return nn.Sequential(*blocks, *head)


def rendered_windows(scans: int, rule: WindowRule) -> tuple[Patches, Patches]:
    """Return abnormal and normal windows of generated scans, (N, S, S, C) and (M, S, S, C)."""
    rng = np.random.default_rng(SEED)
    abnormal, normal = [], []
    for number in tqdm(range(scans), desc="rendering", unit="scan"):
        scan = render_scan(SEED, number)
        cut = keep_windows(scan, rule)
        is_normal = np.array(cut.labels) == NORMAL
        kept = rng.permutation(np.flatnonzero(is_normal))[:PER_SCAN]
        abnormal.append(window_pixels(scan.image, cut.origins[~is_normal], rule))
        normal.append(window_pixels(scan.image, cut.origins[kept], rule))
    return np.concatenate(abnormal), np.concatenate(normal)


def fit(network: nn.Module, abnormal: Patches, normal: Patches, steps: int, seed: int) -> None:
    """Train on balanced batches, turned and mirrored."""
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    target = torch.cat([torch.ones(ABNORMAL), torch.zeros(NORMALS)])
    for x in tqdm(_batches(abnormal, normal, steps, seed), total=steps, unit="step"):
        loss = binary_cross_entropy_with_logits(network(x).squeeze(1), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def logits(network: nn.Module, patches: Patches) -> Scores:
    """Return the sum of the logits over four turns of each patch, (N,)."""
    network.eval()
    parts = []
    for start in range(0, len(patches), 256):
        x = to_tensor(patches[start : start + 256], CPU)
        turns = [network(torch.rot90(x, turn, (2, 3))).squeeze(1) for turn in range(4)]
        parts.append(torch.stack(turns).sum(dim=0).double().numpy())
    return np.concatenate(parts)


def _block(narrow: int, wide: int) -> nn.Sequential:
    convolution = nn.Conv2d(narrow, wide, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2))


def _batches(abnormal: Patches, normal: Patches, steps: int, seed: int) -> Iterator[Tensor]:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = rng.integers(len(abnormal), size=ABNORMAL), rng.integers(len(normal), size=NORMALS)
        x = to_tensor(np.concatenate([abnormal[rows[0]], normal[rows[1]]]), CPU)
        x = torch.rot90(x, int(rng.integers(4)), (2, 3))
        yield x.flip(3) if rng.random() < 0.5 else x


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="a supervised network on labelled windows")
    parser.add_argument(
        "--patches", type=Path, required=True, help="folder written by the stage extract"
    )
    parser.add_argument("--scans", type=int, default=400)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    return parser.parse_args()


def main() -> None:
    """Print the rows of the network and of the amount of metal."""
    arguments = _arguments()
    labelled = PatchStore(arguments.patches, LABELLED_VALIDATION)
    require_labels(labelled)
    cut_by = read_manifest(arguments.patches)["settings"]
    rule = WindowRule(**{name: cut_by[name] for name in vars(WindowRule())})
    abnormal, normal = rendered_windows(arguments.scans, rule)
    print(f"{len(abnormal)} windows with a threat and {len(normal)} normal ones to learn from")
    with seeded(arguments.seed):
        network = supervised_network(labelled.channels)
        fit(network, abnormal, normal, arguments.steps, arguments.seed)
    patches = labelled.read(0, len(labelled))
    scores = {"metal_amount": metal_amount(patches), "supervised": logits(network, patches)}
    print(scores_text(scores, WindowLabels.read(labelled), ["metal_amount"]))


if __name__ == "__main__":
    run_main(main)
