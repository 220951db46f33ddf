"""The compiled step and scoring beside the plain ones, with a compiler and without one."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.gan import Gan, build_gan, network_state
from pipeline.models.nets import NetShape
from pipeline.models.skip_ganomaly.nets import build_networks
from pipeline.models.skip_ganomaly.step import train_step
from pipeline.scoring import build_detector
from tests.conftest import LOSSES, MODEL
from tests.imports import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # of its compiler's own
]

SHAPE = NetShape(side=16, channels=3, ngf=4, ndf=4, latent_dim=6)
STEPS = """
import torch
from tests.models.test_skip_ganomaly_compiling import losses_of_steps, new_model
found, plain = (losses_of_steps(new_model(use_compiler=each)) for each in (True, False))
assert torch.equal(found, plain)
"""


def new_model(*, use_compiler: bool) -> Gan:
    return build_gan(build_networks(SHAPE, 0), replace(MODEL, compile=use_compiler), epochs=4)


def batch() -> torch.Tensor:
    return torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def losses_of_steps(model: Gan) -> torch.Tensor:
    """(3, 5): the losses of three steps."""
    return torch.tensor([list(train_step(model, batch(), LOSSES).values()) for _ in range(3)])


def test_compiled_is_plain_but_for_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain, compiled = new_model(use_compiler=False), new_model(use_compiler=True)
    torch.testing.assert_close(
        losses_of_steps(compiled), losses_of_steps(plain), rtol=1e-4, atol=1e-5
    )
    found, expected = compiled.state()["networks"], plain.state()["networks"]
    assert all(found[name].keys() == expected[name].keys() for name in expected)
    # Either goes on from the other's checkpoint, with other weights of the loss.
    plain.load_state(compiled.state())
    other = replace(LOSSES, lambda_con=7.5)
    for model in (plain, compiled):
        model.generator.train()
    expected_losses = train_step(plain, batch(), other)
    for name, value in train_step(compiled, batch(), other).items():
        torch.testing.assert_close(value, expected_losses[name], rtol=1e-4, atol=1e-5)

    patches = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    networks = network_state(plain.networks)
    as_is, faster = (
        build_detector(SHAPE, networks, replace(MODEL, compile=each)).score([patches])
        for each in (False, True)
    )
    np.testing.assert_allclose(faster.anomaly, as_is.anomaly, rtol=1e-4)
    assert "model.compile" not in capsys.readouterr().out  # it did compile


def test_without_a_compiler_the_result_is_that_of_plain_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    run = [sys.executable, "-c", STEPS]
    found = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    (line,) = found.stdout.splitlines()
    assert line.startswith("model.compile: computing without the compiler: InvalidCxxCompiler")


def test_an_exported_network_needs_no_call_of_ours() -> None:
    generator = build_networks(SHAPE, 0)["generator"]
    exported = torch.export.export(generator.eval(), (batch(),))
    assert not [node for node in exported.graph.nodes if "skipscan" in str(node.target)]
