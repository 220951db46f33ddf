"""How exact the products of every method's step are."""

from dataclasses import replace

import pytest
import torch

from pipeline.models.gan import build_gan
from pipeline.models.precision import products
from pipeline.settings.methods import MethodName
from pipeline.settings.model import Precision
from tests.conftest import LOSSES, MODEL
from tests.models.methods import METHODS, method_named
from tests.models.plain import SHAPE, some_batch


def flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("tf32", True)])
def test_cuda_s_products_are_as_exact_as_asked(precision: Precision, tf32: bool) -> None:
    before = flags()
    with products(precision):
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
    model = build_gan(networks, replace(MODEL, precision=precision), 1)
    method_named(name).train_step(model, some_batch().float(), replace(LOSSES, latent_dim=6))
    assert seen == {(tf32, tf32)}
