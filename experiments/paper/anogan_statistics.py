"""Why AnoGAN's AUC on SIXray turns round if batch-norm uses the test batch's own statistics.

    python -m experiments.paper.anogan_statistics --patches data/patches

Trains AnoGAN as its cell of Table II is trained, and lets the last weights search in four ways. A
row has the AUC of the residual, which is nine tenths of the score; of normal windows and of those
with a threat the mean residual, a sum over pixels, and the mean brightness of G(z), from -1 to 1;
and the AUC of the distance from one picture, the mean of all G(z), in which the search has no part.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.paper.cells import Size, settings_of
from experiments.paper.reference_protocol import LabelledTest
from experiments.paper.reference_scoring import Order, batches, class_order, shuffled_order
from experiments.paper.table2 import load_parts
from experiments.run import run_main
from pipeline.common.metrics import auc
from pipeline.common.tables import text_table
from pipeline.models.interface import method_of
from pipeline.models.methods.anogan.method import AnoganScorer
from pipeline.models.pixels import to_tensor
from pipeline.training.criterion import load_validation
from pipeline.training.loop import CPU, Worker, net_shape, train

SIZE = Size(ngf=16, epochs=2, search_steps=50, share=0.1, test_share=0.5)  # of the cell
SEED = 0
HEAD = ["", "AUC of R", "R", "threat", "brightness of G(z)", "threat", "AUC of one picture"]

Pixels = NDArray[np.float32]  # (N, C, S, S) in [-1, 1]


def orders(normal: NDArray[np.bool_]) -> Mapping[str, tuple[Order, bool]]:
    """Return the order of the test set, and whether batch-norm uses the batch's own statistics."""
    in_order, shuffled = class_order(normal), shuffled_order(len(normal), SEED)
    return {
        "evaluation mode": (in_order, False),
        "own statistics, shuffled": (shuffled, True),
        "own statistics, normal first": (in_order, True),
        "own statistics, threats first": (class_order(~normal), True),
    }


def searched(scorer: AnoganScorer, test: LabelledTest, order: Order, batch_size: int) -> Pixels:
    """Return G(z) at the z that the search finds for every test patch, in the order of `test`."""
    parts = []
    for x in tqdm(batches(test.patches, order, batch_size, CPU), unit="batch"):
        with torch.no_grad():
            parts.append(scorer.reconstruct(x).numpy())
    x_hat = np.empty((len(order), *parts[0].shape[1:]), dtype=np.float32)
    x_hat[order] = np.concatenate(parts)
    return x_hat


def measures(x: Pixels, x_hat: Pixels, normal: NDArray[np.bool_]) -> list[float | None]:
    """Return the numbers of a row (HEAD)."""
    residual = np.abs(x - x_hat).sum(axis=(1, 2, 3))
    brightness = x_hat.mean(axis=(1, 2, 3))
    constant = np.abs(x - x_hat.mean(axis=0)).sum(axis=(1, 2, 3))
    return [
        auc(residual[normal], residual[~normal]),
        *(float(residual[kind].mean()) for kind in (normal, ~normal)),
        *(float(brightness[kind].mean()) for kind in (normal, ~normal)),
        auc(constant[normal], constant[~normal]),
    ]


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description="AnoGAN and batch-norm's statistics")
    parser.add_argument(
        "--patches", type=Path, required=True, help="folder written by the stage extract"
    )
    parts = load_parts(parser.parse_args().patches, SIZE)
    settings, test = settings_of("anogan", SIZE, SEED), parts.test
    validation = load_validation(parts.validation, SEED, None)
    state = train(settings, parts.train, validation, Worker(), lambda *_: None)
    method, shape = method_of(settings.model), net_shape(settings, parts.train)
    x = to_tensor(test.patches, CPU).numpy()
    rows = []
    for name, (order, own) in orders(test.normal).items():
        networks = method.build_networks(shape, SEED)  # batch-norm's statistics change in each way
        for key, network in networks.items():
            network.load_state_dict(state["model"]["networks"][key])
        scorer = AnoganScorer(networks, settings.model)
        scorer.train(own)
        x_hat = searched(scorer, test, order, settings.model.batch_size)
        found = measures(x, x_hat, test.normal)
        rows.append([name, *("" if value is None else f"{value:.3f}" for value in found)])
    print(text_table(HEAD, rows))
    bright, dark = (x[kind].mean() for kind in (test.normal, ~test.normal))
    print(f"brightness of the windows: {bright:.3f}, with a threat {dark:.3f}")


if __name__ == "__main__":
    run_main(main)
