"""Scores a training as the authors' 2019 code does, to measure how much of a figure is label leak.

The 2019 code never leaves training mode: batch-norm uses the test batch's own statistics. The test
set is in order, normal patches first, so nearly every batch has one class, and this label leaks
into the scores. The code reports the best epoch's AUC, chosen on the test set itself.
`reference_2019_shuffled` differs in the order of the test set, and so in the best epoch picked.
Neither protocol shows how good a detector is; compare both with the honest figure of the same
training.

The pipeline does not import this module.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.paper.protocols import HONEST, IN_ORDER, Protocol
from pipeline.common.metrics import auc
from pipeline.common.names import NORMAL, Patches
from pipeline.evaluation.scores import ANOMALY, WindowScores
from pipeline.models.detector import fitted_detector
from pipeline.models.interface import Scorer, method_of
from pipeline.models.methods.ganomaly.method import GanomalyScorer
from pipeline.models.methods.skip_ganomaly.method import SkipGanomalyScorer
from pipeline.models.nets import NetShape, features_of_both
from pipeline.models.pixels import to_tensor
from pipeline.models.precision import matmul_precision
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.patches.store import PatchSource, PatchStore
from pipeline.settings.model import ModelSettings
from pipeline.training.criterion import IMPLANT_AUC, Validation, training_normals
from pipeline.training.loop import CPU, Metrics, State, TrainSettings, Worker, net_shape, train

Scores = dict[str, NDArray[np.float64]]  # the anomaly score and its terms, (N,) each
Best = dict[Protocol, dict[str, Any]]  # the best epoch so far, what it was picked by, its networks


@dataclass(frozen=True)
class Picked:
    """A protocol's best epoch.

    Attributes:
        epoch: its number, from 1.
        value: of the quantity that picked it: the honest criterion, or the AUC on the test set.
        scores: of the test set, as the protocol scores.
    """

    epoch: int
    value: float
    scores: WindowScores


@dataclass(frozen=True)
class LabelledTest:
    """The test part in memory.

    Attributes:
        patches: (N, H, W, C) uint8.
        labels: (N,) class names, `normal` among them.
        scan_ids: (N,) the scan of each patch.
    """

    patches: Patches
    labels: NDArray[np.str_]
    scan_ids: NDArray[np.str_]

    @classmethod
    def read(cls, store: PatchStore) -> "LabelledTest":
        """All patches of a store."""
        patches = np.concatenate([store.read(0, 0), *store.blocks()])
        return cls(patches, store.labels, store.scan_ids)

    def scored(self, scores: Scores) -> WindowScores:
        """With scores of the patches."""
        return WindowScores(self.labels, self.scan_ids, scores)

    @property
    def normal(self) -> NDArray[np.bool_]:
        """(N,) True where a patch is normal."""
        return np.asarray(self.labels == NORMAL)


def run_protocols(
    settings: TrainSettings,
    patches: PatchSource,
    validation: Validation,
    test: LabelledTest,
    protocols: Sequence[Protocol],
    checkpoint: Path,
    device: torch.device = CPU,
) -> dict[Protocol, Picked]:
    """Train once, and pick and score each protocol's best epoch: the reference ones' on the test.

    Args:
        settings: what to train.
        patches: what to train on.
        validation: what chooses the honest epoch.
        test: what the reference protocols choose by.
        protocols: which ones.
        checkpoint: the file to resume from, written after every epoch.
        device: where to compute.
    """
    shape = net_shape(settings, patches)
    resume = load_tensors(checkpoint) if checkpoint.exists() else {"training": None, "best": {}}
    best: Best = resume["best"]

    def after_epoch(metrics: Metrics, state: State) -> None:
        networks = state["model"]["networks"]
        for protocol in protocols:
            value = metrics[IMPLANT_AUC]
            if protocol != HONEST:
                value = _test_auc(score_by(protocol, shape, networks, settings, test, device), test)
            print(f"epoch {metrics['epoch']:.0f}, {protocol} picks by {value:.4f}", flush=True)
            if protocol not in best or value > best[protocol]["value"]:
                epoch = int(metrics["epoch"])
                best[protocol] = {"epoch": epoch, "value": value, "networks": _copy(networks)}
        save_tensors(checkpoint, {"training": state, "best": best})

    worker = Worker(device=device)
    train(settings, patches, validation, worker, after_epoch, resume["training"])

    def picked(protocol: Protocol, chosen: dict[str, Any]) -> Picked:
        normals = training_normals(patches)
        scores = score_by(protocol, shape, chosen["networks"], settings, test, device, normals)
        return Picked(chosen["epoch"], chosen["value"], test.scored(scores))

    return {protocol: picked(protocol, chosen) for protocol, chosen in best.items()}


def score_by(
    protocol: Protocol,
    shape: NetShape,
    networks: dict[str, Any],
    settings: TrainSettings,
    test: LabelledTest,
    device: torch.device,
    normals: Iterable[Patches] = (),
) -> Scores:
    """Score the test set as a protocol does, in the order of `test`.

    The honest detector is fitted to training normals; the authors' code knows nothing of that.
    """
    if protocol == HONEST:
        detector = fitted_detector(shape, networks, settings.model, normals, device)
        found = detector.score([test.patches])
        return {ANOMALY: found.anomaly, **found.terms}
    order = _order(protocol, test, settings.seed)
    scores = _reference_scores(shape, networks, settings.model, test.patches[order], device)
    back = np.argsort(order)
    return {name: values[back] for name, values in scores.items()}


def _test_auc(scores: Scores, test: LabelledTest) -> float:
    found = auc(scores[ANOMALY][test.normal], scores[ANOMALY][~test.normal])
    return 0.5 if found is None else found


def _order(protocol: Protocol, test: LabelledTest, seed: int) -> NDArray[np.intp]:
    if protocol == IN_ORDER:
        return np.argsort(~test.normal, kind="stable")
    return np.random.default_rng(seed).permutation(len(test.labels))


def _reference_scores(
    shape: NetShape,
    networks: dict[str, Any],
    settings: ModelSettings,
    patches: Patches,
    device: torch.device,
) -> Scores:
    """By networks in training mode, batch by batch of the training's size, and the code's terms."""
    method = method_of(settings)
    built = method.build_networks(shape, 0)
    for name, network in built.items():
        network.load_state_dict(networks[name])
    scorer = method.scorer(built, settings).train().to(device)
    parts = []
    with torch.no_grad(), matmul_precision("float32"):
        for start in range(0, len(patches), settings.batch_size):
            x = to_tensor(patches[start : start + settings.batch_size], device)
            terms = reference_terms(scorer, x)
            parts.append(torch.stack([terms[name] for name in scorer.weights]).double().cpu())
    rows = torch.cat(parts, dim=1).numpy()
    found = dict(zip(scorer.weights, rows, strict=True))
    return {ANOMALY: scorer.anomaly(found), **found}


def mean_square(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean of (x - y)^2 over all dimensions except the first, (N,)."""
    return (x - y).square().flatten(1).mean(dim=1)


def reference_terms(scorer: Scorer, x: Tensor) -> dict[str, Tensor]:
    """The terms of patches x as the authors' released code takes them.

    Means of squares in Skip-GANomaly and GANomaly, where the papers have sums and norms; in the
    other methods the papers' own.
    """
    if isinstance(scorer, SkipGanomalyScorer):
        x_hat = scorer.generator(x)
        latent = mean_square(*features_of_both(scorer.discriminator, x, x_hat))
    elif isinstance(scorer, GanomalyScorer):
        x_hat, z, z_hat = scorer.generator(x)
        latent = mean_square(z, z_hat)
    else:
        return scorer.terms(x)
    return {"residual": mean_square(x, x_hat), "latent": latent}


def _copy(networks: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: tensor.detach().cpu().clone() for key, tensor in network.items()}
        for name, network in networks.items()
    }
