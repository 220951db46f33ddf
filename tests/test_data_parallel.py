"""Two data-parallel workers without Ray: real processes that talk to each other by gloo."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.models.tensor_files import load_tensors
from tests.comparing import same
from tests.tiny import TRAIN
from tests.two_workers import train_one_epoch


@pytest.mark.slow
def test_workers_end_an_epoch_with_one_model_and_the_mean_of_their_statistics(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    spawn = multiprocessing.get_context("spawn")
    settings = replace(TRAIN, epochs=1)
    other = spawn.Process(target=train_one_epoch, args=(1, settings, patches, tmp_path))
    other.start()
    train_one_epoch(0, settings, patches, tmp_path)
    other.join()
    first, second = (load_tensors(tmp_path / f"{rank}.pt") for rank in range(2))
    assert same(first["networks"], second["networks"])
    assert first["losses"] == second["losses"]
    assert first["own_losses"] != second["own_losses"]
    both = zip(first["own_losses"], second["own_losses"], strict=True)
    mean_losses = [(one + another) / 2 / first["batches"] for one, another in both]
    assert first["losses"] == pytest.approx(mean_losses)
    assert len(first["after_batch"]) > 4
    assert not any(map(same, first["after_batch"], second["after_batch"]))  # they saw other patches
    means = [
        {name: (one[name] + another[name]) / 2 for name in one}
        for one, another in zip(first["after_batch"], second["after_batch"], strict=True)
    ]
    assert same(first["after_epoch"], means)
