"""One of two data-parallel workers without Ray.

A process of its own imports this module: without the modules of tests it starts 1.5 s sooner.
"""

from datetime import timedelta
from pathlib import Path
from typing import cast

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.common.names import TRAIN
from pipeline.models.tensor_files import save_tensors
from pipeline.patches.store import PatchStore
from pipeline.training.criterion import IMPLANT_AUC, Validation
from pipeline.training.loop import TrainSettings, Worker, train

Statistics = dict[str, torch.Tensor]


def train_one_epoch(rank: int, settings: TrainSettings, patches: Path, folder: Path) -> None:
    """Leave the networks, and batch-norm's statistics after the last batch and after the epoch."""
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

    state = train(
        settings,
        PatchStore(patches, TRAIN),
        cast(Validation, lambda _: {IMPLANT_AUC: 0.5}),
        Worker(rank, world_size=2, wrap=wrap),
        lambda *_: None,
    )
    found = {
        "networks": state["model"]["networks"],
        "loss_d": state["history"][0]["loss_d"],
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
