"""Scores a training as the authors' 2019 code does, to measure how much of a figure is label leak.

The 2019 code never leaves training mode: batch-norm uses the test batch's own statistics. The test
set is in order, normal patches first, so nearly every batch has one class, and this label leaks
into the scores. The code reports the best epoch's AUC, chosen on the test set itself.
`reference_2019_shuffled` differs in the order of the test set, and so in the best epoch picked.
Neither protocol shows how good a detector is; compare both with the honest figure of the same
training.

The pipeline does not import this module.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.paper.protocols import HONEST, REFERENCE, Protocol
from experiments.paper.reference_scoring import class_order, reference_scores, shuffled_order
from pipeline.common.metrics import auc
from pipeline.common.names import NORMAL, Patches, Scores
from pipeline.evaluation.scores import ANOMALY, WindowScores
from pipeline.models.detector import fitted_detector
from pipeline.models.interface import method_of
from pipeline.models.nets import NetShape
from pipeline.models.precision import matmul_precision
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.patches.store import PatchSource, PatchStore
from pipeline.training.criterion import IMPLANT_AUC, Validation, training_normals
from pipeline.training.loop import CPU, Metrics, State, TrainSettings, Worker, net_shape, train

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
        """Return all patches of a store."""
        return cls(store.read(0, len(store)), store.labels, store.scan_ids)

    def scored(self, scores: dict[str, Scores]) -> WindowScores:
        """Return the test part with scores of its patches."""
        return WindowScores(self.labels, self.scan_ids, scores)

    @property
    def normal(self) -> NDArray[np.bool_]:
        """Return (N,) True where a patch is normal."""
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
        settings: of the training.
        patches: the training normals.
        validation: chooses the honest epoch.
        test: chooses the epochs of the reference protocols.
        protocols: the protocols that score the training.
        checkpoint: the file to resume from, written after every epoch.
        device: of the networks.
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
                best[protocol] = {"epoch": epoch, "value": value, "networks": deepcopy(networks)}
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
) -> dict[str, Scores]:
    """Score the test set as a protocol does, in the order of `test`.

    The honest detector is fitted to training normals; the authors' code knows nothing of that.
    """
    if protocol == HONEST:
        detector = fitted_detector(shape, networks, settings.model, normals, device)
        scored = detector.score([test.patches])
        return {ANOMALY: scored.anomaly, **scored.terms}
    normal = test.normal
    in_order = protocol == REFERENCE
    order = class_order(normal) if in_order else shuffled_order(len(normal), settings.seed)
    method = method_of(settings.model)
    built = method.build_networks(shape, 0)
    for name, network in built.items():
        network.load_state_dict(networks[name])
    scorer = method.scorer(built, settings.model).train().to(device)
    with matmul_precision("float32"):
        found = reference_scores(scorer, test.patches, order, settings.model.batch_size, device)
    back = np.argsort(order)
    return {name: values[back] for name, values in found.items()}


def _test_auc(scores: Mapping[str, Scores], test: LabelledTest) -> float:
    found = auc(scores[ANOMALY][test.normal], scores[ANOMALY][~test.normal])
    return 0.5 if found is None else found
