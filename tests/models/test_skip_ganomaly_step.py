import copy
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.models.gan import Gan, build_gan
from pipeline.models.losses import discriminator_loss, generator_adversarial_loss
from pipeline.models.methods.skip_ganomaly.nets import build_networks
from pipeline.models.methods.skip_ganomaly.step import train_step
from pipeline.models.nets import NetShape
from pipeline.settings.model import Precision
from tests.models.plain import plain_convolutions
from tests.tiny import LOSSES, MODEL

SHAPE = NetShape(side=32, channels=3, ngf=4, ndf=4, latent_dim=6)


def double_model() -> Gan:
    networks = {name: network.double() for name, network in build_networks(SHAPE, 0).items()}
    return build_gan(networks, MODEL)


def batch() -> torch.Tensor:
    return torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double() * 2 - 1


def textbook_gradients(
    generator: nn.Module, discriminator: nn.Module, x: torch.Tensor
) -> list[torch.Tensor]:
    """Plain gradients, each loss with forward passes of its own, torch's own convolutions."""
    with plain_convolutions():
        return _textbook_gradients(generator, discriminator, x)


def _textbook_gradients(
    generator: nn.Module, discriminator: nn.Module, x: torch.Tensor
) -> list[torch.Tensor]:
    x_hat = generator(x)
    logits, features_hat = discriminator(x_hat)
    _, features = discriminator(x)
    loss = (
        LOSSES.lambda_adv * generator_adversarial_loss(logits)
        + LOSSES.lambda_con * (x - x_hat).abs().mean()
        + LOSSES.lambda_lat * (features.detach() - features_hat).square().sum(dim=1).sqrt().mean()
    )
    of_generator = torch.autograd.grad(loss, list(generator.parameters()))
    loss_d = discriminator_loss(discriminator(x)[0], discriminator(generator(x).detach())[0])
    return [*of_generator, *torch.autograd.grad(loss_d, list(discriminator.parameters()))]


def test_gradients_are_those_of_the_textbook_form() -> None:
    model = double_model()
    x = batch()
    expected = textbook_gradients(
        copy.deepcopy(model.generator), copy.deepcopy(model.discriminator), x
    )
    train_step(model, x, LOSSES)
    found = [p.grad for net in (model.generator, model.discriminator) for p in net.parameters()]
    for gradient, reference in zip(found, expected, strict=True):
        assert gradient is not None
        torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)


def test_both_networks_move() -> None:
    model = double_model()
    before = copy.deepcopy(model)
    train_step(model, batch(), LOSSES)
    for network, old in (
        (model.generator, before.generator),
        (model.discriminator, before.discriminator),
    ):
        for (name, new), value in zip(network.named_parameters(), old.parameters(), strict=True):
            assert not torch.equal(new, value), name


def test_reported_losses_are_those_of_the_batch() -> None:
    model = double_model()
    x = batch()
    generator, discriminator = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
    losses = train_step(model, x, LOSSES)
    x_hat = generator(x)
    assert losses["loss_con"].item() == pytest.approx((x - x_hat).abs().mean().item())
    logits_d = discriminator_loss(discriminator(x)[0], discriminator(x_hat)[0])
    torch.testing.assert_close(losses["loss_d"], logits_d.detach(), rtol=1e-12, atol=0)
    total = losses["loss_adv"] + 40 * losses["loss_con"] + losses["loss_lat"]
    torch.testing.assert_close(losses["loss_g"], total, rtol=1e-12, atol=0)


def test_bfloat16_losses_stay_near_those_of_float32() -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        model = build_gan(build_networks(SHAPE, 0), replace(MODEL, precision=precision))
        losses = [train_step(model, batch().float(), LOSSES) for _ in range(3)]
        found[precision] = torch.tensor([list(each.values()) for each in losses])
        assert all(p.dtype == torch.float32 for p in model.generator.parameters())
    assert not torch.equal(found["float32"], found["bfloat16"])  # it really is another precision
    torch.testing.assert_close(found["bfloat16"], found["float32"], rtol=0.02, atol=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("precision", "bound"), [("tf32", 2e-3), ("bfloat16", 0.02)])
def test_losses_on_cuda_stay_near_those_of_float32(precision: Precision, bound: float) -> None:
    found = {}
    for each in ("float32", precision):
        networks = {name: network.cuda() for name, network in build_networks(SHAPE, 0).items()}
        model = build_gan(networks, replace(MODEL, precision=each))
        losses = [train_step(model, batch().float().cuda(), LOSSES) for _ in range(3)]
        found[each] = torch.tensor([list(step.values()) for step in losses])
    torch.testing.assert_close(found[precision], found["float32"], rtol=bound, atol=bound / 2)


def gradients_of(model: Gan) -> list[torch.Tensor]:
    networks = (model.generator, model.discriminator)
    return [p.grad.clone() for net in networks for p in net.parameters() if p.grad is not None]


def shared_step(rank: int, folder: str) -> None:
    """One of two workers' step, each on its own half of the batch."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    networks = {
        name: DistributedDataParallel(network.double(), forward_sync_buffers=False)
        for name, network in build_networks(SHAPE, 0).items()
    }
    model = build_gan(networks, MODEL)
    train_step(model, batch().chunk(2)[rank], LOSSES)
    torch.save(gradients_of(model), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_data_parallel_gradients_are_the_mean_of_each_worker_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    spawn = multiprocessing.get_context("spawn")
    other = spawn.Process(target=shared_step, args=(1, str(tmp_path)))
    other.start()
    shared_step(0, str(tmp_path))
    other.join()
    alone = []
    for half in batch().chunk(2):
        model = double_model()
        train_step(model, half, LOSSES)
        alone.append(gradients_of(model))
    for rank in range(2):
        for found, first, second in zip(torch.load(tmp_path / f"{rank}.pt"), *alone, strict=True):
            torch.testing.assert_close(found, (first + second) / 2, rtol=1e-10, atol=1e-12)
