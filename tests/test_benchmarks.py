"""What the benchmarks count and compare with; what they time is for `make bench`."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.false_alarms import drawn_rates
from benchmarks.floor import Machine, Work, score_work, step_work
from benchmarks.read import SHARDS, SIDE, make_store
from benchmarks.scaling import EFFICIENCY, Assumed
from benchmarks.sweep import Shares
from benchmarks.textbook import Textbook, TextbookGenerator, textbook_scores, textbook_step
from benchmarks.timing import alternate
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.nets import NetShape
from pipeline.sweeps.results import TrialResult

SHAPE = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=5)


def counted(network: nn.Module) -> float:
    """Every product of a weight and a pixel that is there, of a batch of 2."""
    total = 0.0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
        nonlocal total
        weight, ones = module.get_parameter("weight"), torch.ones_like(inputs[0])
        stride, padding = list(module.stride), list(module.padding)  # type: ignore[arg-type]
        taps = torch.ones_like(weight)
        transposed = isinstance(module, nn.ConvTranspose2d)
        found = torch.convolution(
            ones, taps, None, stride, padding, [1, 1], transposed, [0, 0], groups=1
        )
        total += found.double().sum().item()

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(2, 3, SHAPE.side, SHAPE.side))
    return total


def test_the_floor_counts_the_taps_that_meet_pixels() -> None:
    generator, discriminator = (counted(network) for network in build_networks(SHAPE, 0).values())
    assert step_work(SHAPE, 2).flops == 2 * (3 * generator + 7 * discriminator)
    assert score_work(SHAPE, 2).flops == 2 * (generator + 2 * discriminator)


def test_the_floor_is_the_scarcer_of_the_two() -> None:
    machine = Machine(flops=10, bandwidth=2)
    assert Work(flops=100, moved=10).seconds(machine) == 10
    assert Work(flops=10, moved=10).seconds(machine) == 5


def test_the_textbook_moves_both_networks_and_scores_each_patch() -> None:
    model = Textbook.build(16, 4)
    before = copy.deepcopy(model)
    textbook_step(model, torch.rand(4, 3, 16, 16) * 2 - 1)
    for network, old in (
        (model.generator, before.generator),
        (model.discriminator, before.discriminator),
    ):
        for (name, new), value in zip(network.named_parameters(), old.parameters(), strict=True):
            assert not torch.equal(new, value), name
    pixels = np.zeros((70, 16, 16, 3), dtype=np.uint8)
    scores = textbook_scores(model.generator.eval(), model.discriminator.eval(), pixels)
    assert scores.shape == (70,)


def test_the_textbook_s_innermost_taps_are_mostly_dead() -> None:
    generator = TextbookGenerator(16, 4)
    generator(torch.rand(4, 3, 16, 16)).square().sum().backward()
    innermost = generator.down[-1].get_parameter("1.weight").grad
    assert innermost is not None
    assert (innermost.abs().amax(dim=(0, 1)) > 0).sum() == 4  # of 16


@pytest.mark.parametrize("gpus", [8, 64, 512])
def test_the_smallest_batch_reaches_the_efficiency(gpus: int) -> None:
    assumed, per_patch, sent = Assumed(), 3e9, 1e8
    batch = assumed.smallest_batch(per_patch, sent, gpus)
    wait = assumed.all_reduce(sent, gpus)
    computing = assumed.step(batch * per_patch)
    assert computing / (computing + wait) >= EFFICIENCY - 1e-9
    if batch > 1:
        less = assumed.step((batch - 1) * per_patch)
        assert less / (less + wait) < EFFICIENCY


def test_the_share_of_a_sweep_is_of_both_places() -> None:
    trials = [TrialResult("t", {}, 0.5, "finished", 1, 6.0, start, start + 8.0) for start in (0, 2)]
    shares = Shares.of(trials, seconds=20)
    assert shares.trials == 12 / (2 * 10)
    assert shares.process == 12 / (2 * 20)


def test_rivals_take_turns() -> None:
    turns: list[str] = []
    alternate({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, rounds=3)
    assert "".join(turns) == "aabb" + "ab" * 3


def test_false_alarm_rates_vary_with_the_scans_that_set_the_threshold() -> None:
    # 5 of 100 windows may exceed; the threshold is the next higher score, which 4 exceed.
    equal = [np.arange(1.0, 101.0)] * 4
    assert drawn_rates(equal, 3, 0.05, draws=5, seed=0) == pytest.approx(0.04)
    # Half of the scans score higher: a draw of low ones alone lets all of the high ones through.
    unequal = [np.arange(1.0, 101.0), np.arange(1001.0, 1101.0)]
    rates = drawn_rates(unequal, 1, 0.05, draws=20, seed=0)
    assert sorted(set(rates.round(9))) == pytest.approx([0.02, 0.52])


def test_the_store_of_noise_can_be_read(tmp_path: Path) -> None:
    store = make_store(tmp_path, 2 * SHARDS)
    patches = store.read(0, len(store))
    assert patches.shape == (2 * SHARDS, SIDE, SIDE, 3)
    assert len(np.unique(patches.reshape(len(patches), -1), axis=0)) == len(patches)
    assert 126 < patches.mean() < 129
    assert store.is_normal().all()
