"""Two data-parallel workers without Ray: real processes that talk to each other by gloo."""

import multiprocessing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.common.names import TRAIN
from pipeline.models.tensor_files import load_tensors, save_tensors
from pipeline.patches.store import PatchStore
from pipeline.training.criterion import CRITERION, Validation
from pipeline.training.loop import Worker, train
from tests.test_training import same
from tests.tiny import TRAIN as SETTINGS

Statistics = dict[str, torch.Tensor]


def train_one_epoch(rank: int, patches: Path, folder: Path) -> None:
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
        replace(SETTINGS, epochs=1),
        PatchStore(patches, TRAIN),
        cast(Validation, lambda _: {CRITERION: 0.5}),
        Worker(rank, world_size=2, wrap=wrap),
        lambda *_: None,
    )
    found = {
        "networks": state["model"]["networks"],
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


def test_workers_end_an_epoch_with_one_model_and_the_mean_of_their_statistics(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    spawn = multiprocessing.get_context("spawn")
    other = spawn.Process(target=train_one_epoch, args=(1, patches, tmp_path))
    other.start()
    train_one_epoch(0, patches, tmp_path)
    other.join()
    first, second = (load_tensors(tmp_path / f"{rank}.pt") for rank in range(2))
    assert same(first["networks"], second["networks"])
    assert len(first["after_batch"]) > 4
    assert not any(map(same, first["after_batch"], second["after_batch"]))  # they saw other patches
    means = [
        {name: (one[name] + another[name]) / 2 for name in one}
        for one, another in zip(first["after_batch"], second["after_batch"], strict=True)
    ]
    assert same(first["after_epoch"], means)
