"""How exact the products of every method's step are."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.models.detector import Detector
from pipeline.models.gan import Gan, build_gan
from pipeline.models.precision import matmul_precision
from pipeline.settings.methods import MethodName
from pipeline.settings.model import Precision
from tests.models.methods import METHODS, method_named, settings_of
from tests.models.plain import SHAPE, some_batch, taken_for_fake, taken_for_real
from tests.tiny import LOSSES, MODEL


def flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("tf32", True)])
def test_cuda_s_products_are_as_exact_as_asked(precision: Precision, tf32: bool) -> None:
    before = flags()
    with matmul_precision(precision):
        assert flags() == (tf32, tf32)
    assert flags() == before


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("tf32", True)])
def test_so_are_those_of_every_method_s_step_to_its_last_gradient(
    name: MethodName, precision: Precision, tf32: bool
) -> None:
    networks = method_named(name).build_networks(SHAPE, 0)
    seen = set()
    for network in networks.values():
        network.register_forward_hook(lambda *_: seen.add(flags()))
        for parameter in network.parameters():
            parameter.register_hook(lambda _: seen.add(flags()))
    model = build_gan(networks, replace(MODEL, precision=precision))
    method_named(name).train_step(model, some_batch().float(), replace(LOSSES, latent_dim=6))
    assert seen == {(tf32, tf32)}


@pytest.mark.parametrize("name", METHODS)
def test_scores_and_features_are_in_full_float32(name: MethodName) -> None:
    networks, seen = method_named(name).build_networks(SHAPE, 0), set()
    for network in networks.values():
        network.register_forward_hook(lambda *_: seen.add(flags()))
    detector = Detector(method_named(name).scorer(networks, settings_of(name)))
    patches = np.zeros((2, SHAPE.side, SHAPE.side, SHAPE.channels), np.uint8)
    for work in (lambda: detector.score([patches]), lambda: detector.features(patches)):
        with matmul_precision("tf32"):
            work()
        assert seen == {(False, False)}
        seen.clear()


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_taken_in_float32_where_products_are_bfloat16(name: MethodName) -> None:
    networks = method_named(name).build_networks(SHAPE, 0)
    logits: list[Tensor] = []
    networks["discriminator"].register_forward_hook(
        lambda _module, _input, outputs: logits.append(outputs[0].detach())
    )
    model = build_gan(networks, replace(MODEL, precision="bfloat16"))
    weights = replace(LOSSES, latent_dim=6)
    losses = method_named(name).train_step(model, some_batch().float(), weights)
    assert {each.dtype for each in logits} == {torch.bfloat16}
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    real, fake = (each.double() for each in logits)
    expected = taken_for_real(real) + taken_for_fake(fake)
    assert losses["loss_d"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_autocast_is_in_bfloat16_whatever_torch_s_default_is() -> None:
    x, default = torch.ones(1), torch.get_autocast_dtype("cpu")
    torch.set_autocast_dtype("cpu", torch.float16)
    try:
        for precision, expected in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
            with Gan({}, (), cast(Precision, precision)).autocast(x):
                assert (x[None] @ x[:, None]).dtype == expected
    finally:
        torch.set_autocast_dtype("cpu", default)
