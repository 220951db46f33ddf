"""CIFAR-10 at the settings of the authors' 2019 code: AUCs by step, as that code scores and honest.

    python -m experiments.paper.authors --data path/to/cifar10 --out work/authors \
        [--cases plane car] [--seeds 0] [--device cuda]

Where the product follows the paper's text, this follows the released code (docs/method.md lists the
departures): Adam at 2e-4 without decay, loss weights 1, 50 and 1, means of squares for the latent
loss and both terms of the score, the latent loss in D's loss too, a code of 8 ngf in G, 100
features in D. G and D are the product's otherwise. A step's gradients are those of the code: it
takes D's from the x_hat of before G's update.

Measured before any training, after 60 and 300 steps, and after every epoch, on weights of the same
moment: `in_order` is how the released code scores, with the test batch's own statistics in
batch-norm, all normals first and then all abnormal images; `shuffled` differs in the order alone;
`eval` has the running statistics. At the end `mixed` measures the weights once more on batches that
hold one class by a share. Each measurement is a line of `authors.jsonl`; a case that was killed
goes on after its last epoch. All this reads the test part, and nothing is chosen by it. A line has
the name of its images (`experiments.paper.table1.data_name`), and the machine's torch,
instructions, cores and threads; older lines have neither, and are of the JPEG copies.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from experiments.array_store import ArrayStore
from experiments.paper.cells import CIFAR, Size, read_rows, write_rows
from experiments.paper.reference_protocol import LabelledTest
from experiments.paper.reference_scoring import (
    Order,
    class_order,
    mean_square,
    reference_scores,
    shuffled_order,
)
from experiments.paper.table1 import Cifar, data_name
from experiments.run import run_main
from pipeline.common.metrics import auc
from pipeline.common.names import TRAIN, Patches
from pipeline.evaluation.scores import ANOMALY
from pipeline.models.gan import Gan, build_gan
from pipeline.models.losses import discriminator_loss, generator_adversarial_loss, residual
from pipeline.models.methods.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.methods.skip_ganomaly.nets import Generator
from pipeline.models.nets import Discriminator, NetShape, seeded
from pipeline.models.pixels import to_tensor
from pipeline.models.precision import matmul_precision, numeric_environment
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.patches.batches import ShuffledReader
from pipeline.patches.store import PatchSource
from pipeline.scans.sources.cifar10 import CLASSES
from pipeline.settings.model import ModelSettings
from pipeline.training.loop import CPU

ROWS = "authors.jsonl"
LAMBDA_ADV, LAMBDA_CON, LAMBDA_LAT = 1.0, 50.0, 1.0
FEATURES = 100  # of D; the code calls it nz
WIDENING = 8  # G's code is this many times ngf wide
REDRAWN_BELOW = 1e-5  # of D's loss: the code then draws D's weights anew
EPOCHS = 3
EARLY = (60, 300)  # steps of the first epoch that are measured
SHARES = (1.0, 0.95, 0.9, 0.75, 0.5)  # of a batch that are of one class
IN_ORDER, SHUFFLED, EVAL = "in_order", "shuffled", "eval"

Networks = dict[str, nn.Module]


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        name: the class that is left out.
        seed: of the weights and the order of training.
        ngf: the width of both networks.
        batch_size: of training, and of the batches that are scored.
        data: the name of the images.
    """

    name: str
    seed: int
    ngf: int = 64
    batch_size: int = 64
    data: str = CIFAR

    @property
    def settings(self) -> ModelSettings:
        """Return the optimiser's settings, and the weight of the residual in the score."""
        return ModelSettings(
            ngf=self.ngf,
            ndf=self.ngf,
            learning_rate=2e-4,
            score_lambda=0.9,
            batch_size=self.batch_size,
        )

    def networks(self, patches: PatchSource) -> Networks:
        """Draw the weights of G and D."""
        side, channels = patches.side, patches.channels
        code = NetShape(side, channels, self.ngf, self.ngf, WIDENING * self.ngf)
        features = NetShape(side, channels, self.ngf, self.ngf, FEATURES)
        with seeded(self.seed):
            return {"generator": Generator(code), "discriminator": Discriminator(features)}


def train_step(model: Gan, x: Tensor) -> dict[str, Tensor]:
    """Update G and D once on a batch x, (N, C, S, S) in [-1, 1]; return their losses."""
    discriminator = model.discriminator
    with model.step():
        x_hat = model.generator(x)
        real_logits, real_features = discriminator(x)
        fake_logits, fake_features = discriminator(x_hat)
        latent = mean_square(fake_features, real_features).mean()
        through_d = LAMBDA_ADV * generator_adversarial_loss(fake_logits) + LAMBDA_LAT * latent
        contextual = LAMBDA_CON * residual(x, x_hat).mean()
        loss_d = discriminator_loss(real_logits, fake_logits) + latent
        (pull,) = torch.autograd.grad(through_d, x_hat, retain_graph=True)
        loss_d.backward(inputs=list(discriminator.parameters()))
        (contextual + (x_hat * pull).sum()).backward()
    return {"loss_g": (through_d + contextual).detach(), "loss_d": loss_d.detach()}


def orders(test: LabelledTest, seed: int) -> dict[str, Order]:
    """Return the order of the test set in each protocol."""
    in_order, shuffled = class_order(test.normal), shuffled_order(len(test.normal), seed)
    return {IN_ORDER: in_order, SHUFFLED: shuffled, EVAL: in_order}


def mixed_order(test: LabelledTest, share: float, batch_size: int, seed: int) -> Order:
    """Return an order whose batches hold one class by a share, as long as both classes last.

    Batches of mostly normal and of mostly abnormal images alternate; the images of a class that
    remain at the end are left out.
    """
    rng = np.random.default_rng(seed)
    kinds = [rng.permutation(np.flatnonzero(kind)) for kind in (test.normal, ~test.normal)]
    most = round(share * batch_size)
    counts = ((most, batch_size - most), (batch_size - most, most))
    places = [0, 0]
    batches: list[Order] = []
    while True:
        for wanted in counts:
            ends = [place + count for place, count in zip(places, wanted, strict=True)]
            if any(end > len(kind) for end, kind in zip(ends, kinds, strict=True)):
                return np.concatenate(batches) if batches else np.empty(0, dtype=np.intp)
            batches += [k[a:b] for k, a, b in zip(kinds, places, ends, strict=True)]
            places = ends


def score(
    networks: Networks, case: Case, test: LabelledTest, order: Order, *, own_statistics: bool
) -> dict[str, float | None]:
    """Return the AUC of the score and of its terms, on the test images of `order`.

    Args:
        networks: a copy, as they stay in training mode if `own_statistics`, in which batch-norm's
            running statistics change.
        case: how the score is weighted, and the batch size.
        test: the test part.
        order: of the images, which decides the batches.
        own_statistics: whether batch-norm uses each batch's own statistics.
    """
    scorer = SkipGanomalyScorer(networks, case.settings).train(own_statistics)
    device = device_of(networks)
    with matmul_precision("float32"):
        scores = reference_scores(scorer, test.patches, order, case.batch_size, device)
    normal = test.normal[order]
    return {name: auc(values[normal], values[~normal]) for name, values in scores.items()}


def measure(
    networks: Networks, case: Case, test: LabelledTest
) -> dict[str, dict[str, float | None]]:
    """Return the AUCs of each protocol, by networks with the same weights."""
    found = {}
    for name, order in orders(test, case.seed).items():
        found[name] = score(deepcopy(networks), case, test, order, own_statistics=name != EVAL)
    return found


def measure_mixed(
    networks: Networks, case: Case, test: LabelledTest
) -> dict[str, dict[str, float | None]]:
    """Return the AUCs by the share of one class in a batch, by networks with the same weights."""
    found = {}
    for share in SHARES:
        order = mixed_order(test, share, case.batch_size, case.seed)
        found[f"{share:g}"] = score(deepcopy(networks), case, test, order, own_statistics=True)
    return found


def device_of(networks: Networks) -> torch.device:
    """Return the device that the networks are on."""
    return next(networks["generator"].parameters()).device


def run_case(
    case: Case, patches: PatchSource, test: LabelledTest, out: Path, device: torch.device = CPU
) -> None:
    """Train a case from where it was left, and add its measurements."""
    networks = {name: network.to(device) for name, network in case.networks(patches).items()}
    model = build_gan(networks, case.settings)
    reader = ShuffledReader(patches, case.batch_size, 0, 1, case.seed)
    images = f"-{case.data}" * (case.data != CIFAR)
    checkpoint = out / "unfinished" / f"{case.name}-{case.seed}-{case.ngf}{images}.pt"
    first = 0
    if checkpoint.exists():
        state = load_tensors(checkpoint)
        model.load_state_dict(state["model"])
        first = state["epoch"]
    else:
        add_row(out, case, 0, 0, measure(networks, case, test))

    def after_step(step: int) -> None:
        if step in EARLY:
            add_row(out, case, 0, step, measure(networks, case, test))

    for epoch in range(first, EPOCHS):
        extra = train_epoch(model, case, reader, epoch, after_step)
        aucs = measure(networks, case, test)
        if epoch + 1 == EPOCHS:
            extra["mixed"] = measure_mixed(networks, case, test)
        add_row(out, case, epoch + 1, (epoch + 1) * reader.batches_per_epoch, aucs, extra)
        save_tensors(checkpoint, {"model": model.state_dict(), "epoch": epoch + 1})


def train_epoch(
    model: Gan,
    case: Case,
    reader: ShuffledReader,
    epoch: int,
    after_step: Callable[[int], None],
) -> dict[str, Any]:
    """Train one epoch, and return its mean losses, its seconds and how often D was drawn anew.

    `after_step` gets the number of steps since the first epoch began.
    """
    device, steps = device_of(model.networks), reader.batches_per_epoch
    started, redrawn, losses = time.monotonic(), 0, {"loss_g": 0.0, "loss_d": 0.0}
    batches = tqdm(reader.epoch(epoch), f"{case.name} {case.seed}, epoch {epoch + 1}", steps)
    for step, batch in enumerate(batches, 1):
        of_step = train_step(model, to_tensor(batch, device))
        losses = {name: losses[name] + float(value) / steps for name, value in of_step.items()}
        if float(of_step["loss_d"]) < REDRAWN_BELOW:
            redrawn += 1
            fresh = replace(case, seed=case.seed + 1000 * redrawn).networks(reader.store)
            model.discriminator.load_state_dict(fresh["discriminator"].state_dict())
        after_step(epoch * steps + step)
    seconds = round(time.monotonic() - started)
    return {"losses": losses, "redrawn": redrawn, "seconds": seconds, "device": device.type}


def add_row(
    out: Path,
    case: Case,
    epoch: int,
    step: int,
    aucs: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write one more measurement, in place of an earlier one of the same step."""
    about = {"case": case.name, "seed": case.seed, "ngf": case.ngf, "data": case.data}
    about |= {"epoch": epoch, "step": step}
    rows = [row for row in read_lines(out) if any(row[name] != about[name] for name in about)]
    machine = [*numeric_environment(), torch.get_num_threads()]
    rows.append({**about, "auc": aucs, "machine": machine, **(extra or {})})
    write_rows(out / ROWS, rows)
    print(f"{about}: " + ", ".join(f"{k} {v[ANOMALY]:.3f}" for k, v in aucs.items()))


def read_lines(out: Path) -> list[dict[str, Any]]:
    """Return the measurements in the folder of this command."""
    return read_rows(out / ROWS)


def unfinished(cases: Sequence[Case], out: Path) -> Iterator[Case]:
    """Yield the cases that lack an epoch."""
    names = ("case", "seed", "ngf", "data", "epoch")
    done = {tuple(row[name] for name in names) for row in read_lines(out)}
    for case in cases:
        about = (case.name, case.seed, case.ngf, case.data)
        if any((*about, epoch) not in done for epoch in range(EPOCHS + 1)):
            yield case


def parts_of(data: Cifar, case: str) -> tuple[PatchSource, LabelledTest]:
    """Return 45,000 normal images to train on, and 9,000 normal and 6,000 abnormal ones to test."""
    parts = data.case(case)
    every: list[Patches] = [part.read(0, len(part)) for part in (parts.train, parts.validation)]
    return ArrayStore(data.folder, TRAIN, np.concatenate(every)), parts.test


def main() -> None:
    """Run the missing cases."""
    parser = argparse.ArgumentParser(description="CIFAR-10 at the authors' settings")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10, as scans.folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", choices=CLASSES, default=CLASSES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    data = Cifar(arguments.data, Size())
    name_of_data = data_name(arguments.data)
    cases = [
        Case(name, seed, data=name_of_data)
        for seed, name in product(arguments.seeds, arguments.cases)
    ]
    for case in unfinished(cases, arguments.out):
        run_case(case, *parts_of(data, case.name), arguments.out, torch.device(arguments.device))


if __name__ == "__main__":
    run_main(main)
