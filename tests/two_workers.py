"""One of two data-parallel workers without Ray.

A process of its own imports this module: without the modules of tests it starts 1.5 s sooner.
"""

from datetime import timedelta
from pathlib import Path
from typing import cast
from unittest.mock import patch

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.common.names import TRAIN
from pipeline.models.tensor_files import save_tensors
from pipeline.patches.store import PatchStore
from pipeline.training import loop
from pipeline.training.criterion import IMPLANT_AUC, Validation
from pipeline.training.loop import TrainSettings, Worker, shuffled_reader, train

Statistics = dict[str, torch.Tensor]


def train_one_epoch(rank: int, settings: TrainSettings, patches: Path, folder: Path) -> None:
    """Leave the networks, the losses, and batch-norm's statistics after the last batch and epoch.

    The losses are this worker's sums over its batches, and the means that `train` returns.
    """
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        timeout=timedelta(seconds=240),
        rank=rank,
        world_size=2,
    )
    after_batch: dict[nn.Module, Statistics] = {}

    def wrap(network: nn.Module) -> nn.Module:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_hook(
                    lambda layer, *_: after_batch.update({layer: statistics(layer)})
                )
        return DistributedDataParallel(network, forward_sync_buffers=False)

    own_losses: list[float] = []
    average = loop._average

    def note(tensor: torch.Tensor, worker: Worker) -> None:
        if tensor.ndim == 0:
            own_losses.append(float(tensor))
        average(tensor, worker)

    store = PatchStore(patches, TRAIN)
    with patch.object(loop, "_average", note):
        state = train(
            settings,
            store,
            cast(Validation, lambda _: {IMPLANT_AUC: 0.5}),
            Worker(rank, world_size=2, wrap=wrap),
            lambda *_: None,
        )
    metrics = list(state["history"][0].values())
    found = {
        "networks": state["model"]["networks"],
        "own_losses": own_losses,
        "losses": metrics[1 : 1 + len(own_losses)],  # after the epoch's number
        "batches": shuffled_reader(settings, store, rank, 2).batches_per_epoch,
        "after_batch": list(after_batch.values()),
        "after_epoch": [statistics(layer) for layer in after_batch],
    }
    save_tensors(folder / f"{rank}.pt", found)
    torch.distributed.destroy_process_group()


def statistics(layer: nn.Module) -> Statistics:
    """What a batch-norm layer has seen: its running mean and variance."""
    return {
        name: buffer.clone() for name, buffer in layer.named_buffers() if buffer.is_floating_point()
    }
