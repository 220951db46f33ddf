"""The training loop, shared by a single process, Ray Train and Ray Tune. It does not import Ray.

Three levels: `train_step` (of the method), `train_epoch`, `train`.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import nn

from pipeline.common.files import code_digest, digest
from pipeline.models.detector import LabelledWindows, fitted_detector
from pipeline.models.gan import Gan, build_gan, learning_rate_decay, network_state
from pipeline.models.interface import Method, method_of
from pipeline.models.nets import NetShape
from pipeline.models.pixels import to_tensor
from pipeline.models.precision import numeric_environment
from pipeline.patches.batches import ShuffledReader
from pipeline.patches.store import PatchSource
from pipeline.settings.model import LossSettings, ModelSettings
from pipeline.settings.resources import WorkerRange, require_divisible
from pipeline.training.criterion import IMPLANT_AUC, Validation, training_normals

# The packages that decide the trained model: after an edit to one of them, training restarts.
DECIDING = ("pipeline.common", "pipeline.models", "pipeline.patches", "pipeline.training")

PROGRESS_SECONDS = 15.0
CPU = torch.device("cpu")

Metrics = dict[str, float]
State = dict[str, Any]


class TrainingDivergedError(RuntimeError):
    """A loss is no longer a finite number."""


@dataclass(frozen=True)
class TrainSettings:
    """The settings that, with the data and the number of workers, decide a trained model."""

    model: ModelSettings
    losses: LossSettings
    epochs: int
    seed: int

    def key(self, data: str, workers: int | WorkerRange) -> str:
        """Return the digest of all that decides the result; other keys' checkpoints are refused.

        For a range of workers, the key holds the range: training may resume with another number of
        workers in it. The result then also depends on the number of workers in each epoch. On a
        cluster `numeric_environment` is that of the node that starts the training. The device has
        no part in it, so a training may resume on another one.
        """
        asked = [workers.min, workers.max] if isinstance(workers, WorkerRange) else workers
        return digest([asdict(self), data, asked, code_digest(DECIDING), numeric_environment()])


@dataclass(frozen=True)
class Worker:
    """This process among the data-parallel processes.

    Attributes:
        rank, world_size: this process's rank, and the number of processes.
        device: the device that this process computes on.
        wrap: makes a network data-parallel; the identity for a single process.
        tell_progress: called on rank 0 now and then, with the number of epochs done, a fraction.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = CPU
    wrap: Callable[[nn.Module], nn.Module] = lambda network: network
    tell_progress: Callable[[float], None] = lambda _: None


# Called on every rank after every epoch, with the epoch's metrics and the state to keep.
Report = Callable[[Metrics, State], None]


def train(
    settings: TrainSettings,
    patches: PatchSource,
    validate: Validation,
    worker: Worker,
    report: Report,
    resume: State | None = None,
) -> State:
    """Train for `settings.epochs` epochs, or for the epochs that remain after `resume`.

    Returns:
        The last state: `epoch` (number of epochs done), `model`, `history` (metrics of each
        epoch) and `best` (networks, epoch and criterion of the best epoch).

    Raises:
        InputError: there are fewer patches than a batch for each worker.
        TrainingDivergedError: a loss is not finite.
    """
    reader = shuffled_reader(settings, patches, worker.rank, worker.world_size)
    method, shape = method_of(settings.model), net_shape(settings, patches)
    built = method.build_networks(shape, settings.seed)
    placed = {name: worker.wrap(network.to(worker.device)) for name, network in built.items()}
    gan = build_gan(placed, settings.model)
    state = resume or {"epoch": 0, "history": [], "best": None}
    if resume:
        gan.load_state_dict(resume["model"])
    if worker.rank == 0:
        worker.tell_progress(state["epoch"])
    for epoch in range(state["epoch"], settings.epochs):
        started = time.monotonic()
        # Seeded in each epoch, so that random draws do not depend on where training was resumed.
        seed = np.random.SeedSequence((settings.seed, epoch, worker.rank)).generate_state(1)[0]
        torch.manual_seed(int(seed))
        learning_rate = settings.model.learning_rate * learning_rate_decay(epoch, settings.epochs)
        gan.set_learning_rate(learning_rate)
        losses = train_epoch(method, gan, reader, epoch, settings.losses, worker)
        _average_buffers(gan, worker)
        seconds = time.monotonic() - started
        metrics: Metrics = {"epoch": epoch + 1, **losses, "learning_rate": learning_rate}
        metrics |= {"seconds": seconds, "workers": worker.world_size}
        networks = network_state(gan.networks)
        if worker.rank == 0:
            normals = training_normals(patches)
            detector = fitted_detector(shape, networks, settings.model, normals, worker.device)
            validated = validate(detector)
            _require_finite(validated, epoch)
            metrics |= validated
        state = _advance(state, gan, metrics, networks)
        report(metrics, state)
    return state


def fit_without_training(
    settings: TrainSettings,
    patches: PatchSource,
    validate: Validation,
    labelled: LabelledWindows | None = None,
) -> State:
    """Return the state that `train` would return, for a method without networks: of epoch 0."""
    shape, normals = net_shape(settings, patches), training_normals(patches)
    metrics: Metrics = {"epoch": 0}
    metrics |= validate(fitted_detector(shape, {}, settings.model, normals, labelled=labelled))
    best = {"epoch": 0, "criterion": metrics[IMPLANT_AUC], "networks": {}}
    return {"epoch": 0, "history": [metrics], "best": best}


def train_epoch(
    method: Method,
    gan: Gan,
    reader: ShuffledReader,
    epoch: int,
    settings: LossSettings,
    worker: Worker,
) -> Metrics:
    """Train on this rank's patches once; return each loss's mean over the batches of all ranks."""
    for network in gan.networks.values():
        network.train()
    totals: dict[str, torch.Tensor] = defaultdict(lambda: torch.zeros((), device=worker.device))
    batches = _with_progress(reader.epoch(epoch), reader.batches_per_epoch, epoch, worker)
    for batch in batches:
        losses = method.train_step(gan, to_tensor(batch, worker.device), settings)
        for name, value in losses.items():
            totals[name] += value
    for total in totals.values():
        _average(total, worker)
    means = {name: float(total) / reader.batches_per_epoch for name, total in totals.items()}
    _require_finite(means, epoch)
    return means


def shuffled_reader(
    settings: TrainSettings, patches: PatchSource, rank: int, world_size: int
) -> ShuffledReader:
    """Return the reader of one worker's batches.

    Raises:
        InputError: the workers cannot share the batch evenly, or there are too few patches for it.
    """
    batch_size = settings.model.batch_size
    require_divisible(batch_size, world_size)
    return ShuffledReader(patches, batch_size // world_size, rank, world_size, settings.seed)


def net_shape(settings: TrainSettings, patches: PatchSource) -> NetShape:
    """Return the sizes of the networks for these patches."""
    return NetShape(
        side=patches.side,
        channels=patches.channels,
        ngf=settings.model.ngf,
        ndf=settings.model.ndf,
        latent_dim=settings.losses.latent_dim,
    )


def _advance(state: State, gan: Gan, metrics: Metrics, networks: State) -> State:
    """Return the state after one more epoch; an epoch replaces the best one only if better."""
    criterion = metrics.get(IMPLANT_AUC)  # rank 0 alone validates, and rank 0's state is kept
    best = state["best"]
    if criterion is not None and (best is None or criterion > best["criterion"]):
        kept = {name: _clone(network) for name, network in networks.items()}
        best = {"epoch": metrics["epoch"], "criterion": criterion, "networks": kept}
    return {
        "epoch": int(metrics["epoch"]),
        "model": gan.state_dict(),
        "history": [*state["history"], metrics],
        "best": best,
    }


def _clone(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _average_buffers(gan: Gan, worker: Worker) -> None:
    """Average batch-norm's running statistics over the ranks, so that all have the same model."""
    for network in gan.networks.values():
        for buffer in network.buffers():
            if buffer.is_floating_point():
                _average(buffer, worker)


def _average(tensor: torch.Tensor, worker: Worker) -> None:
    """Replace a tensor by its mean over the ranks."""
    if worker.world_size > 1:
        torch.distributed.all_reduce(tensor)
        tensor.div_(worker.world_size)


def _require_finite(means: Metrics, epoch: int) -> None:
    for name, value in means.items():
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"{name} is {value} in epoch {epoch + 1}: lower model.learning_rate or the lambdas"
            )


def _with_progress(
    batches: Iterator[NDArray[np.uint8]], total: int, epoch: int, worker: Worker
) -> Iterator[NDArray[np.uint8]]:
    """Yield the batches; rank 0 prints a line of progress, fit for a log, now and then."""
    said = time.monotonic()
    for number, batch in enumerate(batches, start=1):
        yield batch
        if worker.rank == 0 and time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            print(f"epoch {epoch + 1}: batch {number} of {total}", flush=True)
            worker.tell_progress(epoch + number / total)
