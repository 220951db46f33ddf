"""One training step of Skip-GANomaly: both networks move once, on the same forward passes."""

import torch
import torch.distributed
from torch import Tensor, nn

from pipeline.models.compiling import compiled
from pipeline.models.gan import Gan, unwrap
from pipeline.models.losses import discriminator_loss, generator_adversarial_loss
from pipeline.models.precision import autocast
from pipeline.models.settings import LossSettings, Precision
from pipeline.models.skip_ganomaly.losses import GeneratorLosses, contextual_loss, latent_loss

Lambdas = tuple[float, ...] | tuple[Tensor, ...]  # adv, con, lat


def train_step(model: Gan, x: Tensor, weights: LossSettings) -> dict[str, Tensor]:
    """Move G and D once on a batch x, (N, C, S, S) in [-1, 1], of normal patches.

    D sees x and x_hat once; both losses and all gradients come from those passes, and then both
    networks move. So G's gradient is taken through D as it was before the step, and D's on x_hat
    as it was before the step. (The authors' code moves G first and then takes D's gradient
    through the moved G, which today's torch refuses.)

    Returns:
        The mean losses of the batch, detached scalars, by name.
    """
    back = _compiled_backward if model.compile else _backward
    with model.step():
        losses, loss_d = back(model, x, weights)
    return {
        "loss_g": losses.total(weights).detach(),
        "loss_adv": losses.adversarial.detach(),
        "loss_con": losses.contextual.detach(),
        "loss_lat": losses.latent.detach(),
        "loss_d": loss_d.detach(),
    }


def _backward(model: Gan, x: Tensor, weights: LossSettings) -> tuple[GeneratorLosses, Tensor]:
    """The losses; each parameter gets its gradient."""
    lambdas = weights.lambda_adv, weights.lambda_con, weights.lambda_lat
    passes = _passes(model.generator, model.discriminator, x, lambdas, model.precision)
    x_hat, losses, loss_d, pull = passes
    loss_d.backward(inputs=list(model.discriminator.parameters()))  # not back to x_hat again
    ((weights.lambda_con * losses.contextual) + (x_hat * pull).sum()).backward()
    return losses, loss_d


def _compiled_backward(
    model: Gan, x: Tensor, weights: LossSettings
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
    with autocast(x, precision):
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
