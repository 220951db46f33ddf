"""Training scored as the authors' 2019 code scores it, to see how much of a figure is the leak.

That code never leaves training mode: batch-norm uses the test batch's own statistics. The test
set comes in order, normal patches first, so nearly every batch is of one class and its label leaks
into its scores. The AUC is taken on the test set after every epoch, and the best one is reported.
`reference_2019_shuffled` differs in the order alone. No figure of either says what a detector is
worth; they stand beside the honest one of the very same training.

Nothing of the honest path imports this module.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.evaluation import ANOMALY, TestScores
from pipeline.metrics import auc
from pipeline.models.interface import method_of
from pipeline.models.nets import NetShape
from pipeline.models.settings import ModelSettings
from pipeline.patch_store import PatchStore
from pipeline.protocols import HONEST, IN_ORDER, Protocol
from pipeline.scoring import Patches, build_detector, to_tensor
from pipeline.selection import CRITERION, Validation
from pipeline.training import Metrics, State, TrainSettings, Worker, net_shape, train
from pipeline.windows import NORMAL

Scores = dict[str, NDArray[np.float64]]  # the anomaly score and its terms, (N,) each
Best = dict[Protocol, dict[str, Any]]  # of each protocol: the best epoch, its value and networks


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

    @property
    def normal(self) -> NDArray[np.bool_]:
        """(N,) True where a patch is normal."""
        return np.asarray(self.labels == NORMAL)


def train_by_protocols(
    settings: TrainSettings,
    patches: PatchStore,
    validation: Validation,
    test: LabelledTest,
    protocols: Sequence[Protocol],
    keep: Callable[[Metrics, State], None],
    resume: State | None = None,
    worker: Worker | None = None,
) -> Best:
    """Train once, and pick each protocol's best epoch: the reference ones' on the test set.

    Args:
        settings: what to train.
        patches: what to train on.
        validation: what chooses the honest epoch.
        test: what the reference protocols choose by.
        protocols: which ones.
        keep: called after every epoch with its metrics (each protocol's AUC among them) and with
            all that `resume` takes.
        resume: what `keep` was given, to go on from.
        worker: where it computes, alone.
    """
    worker = worker or Worker()
    shape = net_shape(settings, patches)
    best: Best = dict(resume["best"]) if resume else {}

    def after_epoch(metrics: Metrics, state: State) -> None:
        networks = state["model"]["networks"]
        values = {protocol: metrics[CRITERION] for protocol in protocols if protocol == HONEST}
        for protocol in protocols:
            if protocol != HONEST:
                scores = score_by(protocol, shape, networks, settings, test, worker.device)
                found = auc(scores[ANOMALY][test.normal], scores[ANOMALY][~test.normal])
                values[protocol] = 0.5 if found is None else found
            if protocol not in best or values[protocol] > best[protocol]["value"]:
                best[protocol] = {
                    "epoch": int(metrics["epoch"]),
                    "value": values[protocol],
                    "networks": _copy(networks),
                }
        picked_by = {f"picked_by/{protocol}": value for protocol, value in values.items()}
        keep(metrics | picked_by, {"train": state, "best": best})

    resumed = resume["train"] if resume else None
    train(settings, patches, validation, worker, after_epoch, resumed)
    return best


def scores_of_best(
    best: Best, settings: TrainSettings, shape: NetShape, test: LabelledTest, device: torch.device
) -> dict[Protocol, TestScores]:
    """Each protocol's scores of the test set by its own best epoch."""
    return {
        protocol: TestScores(
            test.labels,
            test.scan_ids,
            score_by(protocol, shape, chosen["networks"], settings, test, device),
        )
        for protocol, chosen in best.items()
    }


def score_by(
    protocol: Protocol,
    shape: NetShape,
    networks: dict[str, Any],
    settings: TrainSettings,
    test: LabelledTest,
    device: torch.device,
) -> Scores:
    """Score the test set as a protocol does, in the order of `test`."""
    if protocol == HONEST:
        detector = build_detector(shape, networks, settings.model, device)
        found = detector.score([test.patches])
        return {ANOMALY: found.anomaly, **found.terms}
    order = _order(protocol, test, settings.seed)
    scores = _reference_scores(shape, networks, settings.model, test.patches[order], device)
    back = np.argsort(order)
    return {name: values[back] for name, values in scores.items()}


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
    with torch.no_grad():
        for start in range(0, len(patches), settings.batch_size):
            x = to_tensor(patches[start : start + settings.batch_size], device)
            terms = scorer.reference_terms(x)
            parts.append(torch.stack([terms[name] for name in scorer.weights]).double().cpu())
    rows = torch.cat(parts, dim=1).numpy()
    terms_found = dict(zip(scorer.weights, rows, strict=True))
    weighted = [terms_found[name] * weight for name, weight in scorer.weights.items()]
    return {ANOMALY: np.sum(weighted, axis=0), **terms_found}


def _copy(networks: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: tensor.detach().cpu().clone() for key, tensor in network.items()}
        for name, network in networks.items()
    }
