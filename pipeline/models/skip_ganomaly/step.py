"""One training step of Skip-GANomaly: both networks move once, on the same forward passes."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from pipeline.models.skip_ganomaly.compiling import compiled
from pipeline.models.skip_ganomaly.losses import (
    GeneratorLosses,
    contextual_loss,
    discriminator_loss,
    generator_adversarial_loss,
    latent_loss,
)
from pipeline.models.skip_ganomaly.nets import Discriminator, Generator, NetShape
from pipeline.models.skip_ganomaly.precision import products
from pipeline.models.skip_ganomaly.settings import LossSettings, ModelSettings, Precision

Lambdas = tuple[float, ...] | tuple[Tensor, ...]  # adv, con, lat


@dataclass
class SkipGanomaly:
    """The two networks, their optimisers and their learning-rate schedules."""

    generator: nn.Module
    discriminator: nn.Module
    optimisers: tuple[Adam, Adam]  # of G, of D
    schedules: tuple[LambdaLR, LambdaLR]
    precision: Precision
    compile: bool

    def state(self) -> dict[str, Any]:
        """Everything that a later process needs to go on."""
        return {
            "networks": network_state(self.generator, self.discriminator),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        unwrap(self.generator).load_state_dict(state["networks"]["generator"])
        unwrap(self.discriminator).load_state_dict(state["networks"]["discriminator"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)


def build_model(
    generator: nn.Module, discriminator: nn.Module, settings: ModelSettings, epochs: int
) -> SkipGanomaly:
    """Give two networks their optimisers (section IV-B) and schedules."""
    optimisers = (_adam(generator, settings), _adam(discriminator, settings))
    schedules = (_decay(optimisers[0], epochs), _decay(optimisers[1], epochs))
    return SkipGanomaly(
        generator, discriminator, optimisers, schedules, settings.precision, settings.compile
    )


def build_networks(shape: NetShape, seed: int) -> tuple[Generator, Discriminator]:
    """G and D with weights drawn from `seed` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(shape), Discriminator(shape)


def train_step(model: SkipGanomaly, x: Tensor, weights: LossSettings) -> dict[str, Tensor]:
    """Move G and D once on a batch x, (N, C, S, S) in [-1, 1], of normal patches.

    D sees x and x_hat once; both losses and all gradients come from those passes, and then both
    networks move. So G's gradient is taken through D as it was before the step, and D's on x_hat
    as it was before the step. (The authors' code moves G first and then takes D's gradient
    through the moved G, which today's torch refuses.)

    Returns:
        The mean losses of the batch, detached scalars, by name.
    """
    for optimiser in model.optimisers:
        optimiser.zero_grad(set_to_none=True)
    back = _compiled_backward if model.compile else _backward
    with products(model.precision):
        losses, loss_d = back(model, x, weights)
    for optimiser in model.optimisers:
        optimiser.step()
    return {
        "loss_g": losses.total(weights).detach(),
        "loss_adv": losses.adversarial.detach(),
        "loss_con": losses.contextual.detach(),
        "loss_lat": losses.latent.detach(),
        "loss_d": loss_d.detach(),
    }


def _backward(
    model: SkipGanomaly, x: Tensor, weights: LossSettings
) -> tuple[GeneratorLosses, Tensor]:
    """The losses; each parameter gets its gradient."""
    lambdas = weights.lambda_adv, weights.lambda_con, weights.lambda_lat
    passes = _passes(model.generator, model.discriminator, x, lambdas, model.precision)
    x_hat, losses, loss_d, pull = passes
    loss_d.backward(inputs=list(model.discriminator.parameters()))  # not back to x_hat again
    ((weights.lambda_con * losses.contextual) + (x_hat * pull).sum()).backward()
    return losses, loss_d


def _compiled_backward(
    model: SkipGanomaly, x: Tensor, weights: LossSettings
) -> tuple[GeneratorLosses, Tensor]:
    """The same by the compiler, to which all of it is one function."""
    networks = unwrap(model.generator), unwrap(model.discriminator)
    # Tensors, since for every other number it would compile anew.
    numbers = [weights.lambda_adv, weights.lambda_con, weights.lambda_lat]
    lambdas = torch.tensor(numbers, dtype=x.dtype).unbind()
    terms, of_g, of_d = compiled(_gradients)(*networks, x, lambdas, model.precision)
    for network, gradients in zip(networks, (of_g, of_d), strict=True):
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
    if networks[0] is not model.generator:  # the wrapper has seen no pass that it could act on
        _average([*of_g, *of_d])
    return GeneratorLosses(*terms[:3]), terms[3]


def _gradients(
    generator: nn.Module,
    discriminator: nn.Module,
    x: Tensor,
    lambdas: Lambdas,
    precision: Precision,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The losses (three of G, one of D), and the gradients of G's and of D's parameters."""
    passes = _passes(generator, discriminator, x, lambdas, precision)
    x_hat, losses, loss_d, pull = passes
    of_d = torch.autograd.grad(loss_d, list(discriminator.parameters()), retain_graph=True)
    total = (lambdas[1] * losses.contextual) + (x_hat * pull).sum()
    of_g = torch.autograd.grad(total, list(generator.parameters()))
    terms = (losses.adversarial, losses.contextual, losses.latent, loss_d)
    return tuple(term.detach() for term in terms), of_g, of_d


def _passes(
    generator: nn.Module,
    discriminator: nn.Module,
    x: Tensor,
    lambdas: Lambdas,
    precision: Precision,
) -> tuple[Tensor, GeneratorLosses, Tensor, Tensor]:
    """x_hat, the losses of G and of D, and the gradient by x_hat of what reaches G through D."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        x_hat = generator(x).to(x.dtype)
        real_logits, real_features = (output.to(x.dtype) for output in discriminator(x))
        fake_logits, fake_features = (output.to(x.dtype) for output in discriminator(x_hat))
    losses = GeneratorLosses(
        adversarial=generator_adversarial_loss(fake_logits),
        contextual=contextual_loss(x, x_hat),
        latent=latent_loss(real_features.detach(), fake_features),
    )
    lambda_adv, _, lambda_lat = lambdas
    through_d = lambda_adv * losses.adversarial + lambda_lat * losses.latent
    # The contextual term reaches x_hat directly, the other two through D.
    (pull,) = torch.autograd.grad(through_d, x_hat, retain_graph=True)
    return x_hat, losses, discriminator_loss(real_logits, fake_logits), pull


def _average(gradients: list[Tensor]) -> None:
    """Average over the data-parallel workers, in one message."""
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def network_state(generator: nn.Module, discriminator: nn.Module) -> dict[str, Any]:
    """The weights and buffers of both networks, without a data-parallel wrapper's prefix."""
    return {
        "generator": unwrap(generator).state_dict(),
        "discriminator": unwrap(discriminator).state_dict(),
    }


def unwrap(module: nn.Module) -> nn.Module:
    """The network inside a data-parallel wrapper, or the module itself."""
    inner = getattr(module, "module", module)
    assert isinstance(inner, nn.Module)
    return inner


def _adam(network: nn.Module, settings: ModelSettings) -> Adam:
    betas = (settings.beta1, settings.beta2)
    return Adam(network.parameters(), lr=settings.learning_rate, betas=betas, fused=True)


def _decay(optimiser: Adam, epochs: int) -> LambdaLR:
    """The "lambda decay" of section IV-B.

    The text gives no shape, and the authors' code never runs its own; this is the usual one:
    constant for half of the epochs, then linearly towards 0.
    """
    constant = epochs / 2
    return LambdaLR(
        optimiser,
        lambda epoch: 1.0 if epoch < constant else (epochs - epoch) / (epochs - constant),
    )
