"""AnoGAN's latent search: for each patch, gradient descent to the z whose G(z) is most like it.

All patches of a batch are searched at once. The result of a patch does not depend on the other
patches. Every search starts from the same z, drawn once from the uniform prior.
"""

from collections.abc import Callable

import torch
from torch import Tensor

LEARNING_RATE = 0.02  # Adam's learning rate; the paper gives none
# A patch's search ends when its loss has not fallen by 0.1% in 50 steps.
PATIENCE, MIN_IMPROVEMENT = 50, 1e-3
START_SEED = 0


def start_code(latent_dim: int) -> Tensor:
    """Return the z from which every search starts, (d,) in [-1, 1]."""
    generator = torch.Generator().manual_seed(START_SEED)
    return 2 * torch.rand(latent_dim, generator=generator) - 1


def search(loss_of: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """Return latent codes of low loss, (N, d).

    Args:
        loss_of: maps codes (N, d) to losses (N,); each loss depends on its own code alone.
        start: codes (N, d) from which to start.
        steps: number of steps at most; a code no longer moves once its search has ended.
    """
    z = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=LEARNING_RATE)
    best = torch.full_like(z[:, 0], torch.inf)
    waited = torch.zeros_like(best)
    for _ in range(steps):
        losses = loss_of(z)
        improved = losses.detach() < best * (1 - MIN_IMPROVEMENT)
        best = torch.where(improved, losses.detach(), best)
        waited = torch.where(improved, 0, waited + 1)
        going = waited < PATIENCE
        if not going.any():
            break
        (z.grad,) = torch.autograd.grad(losses.sum(), z)
        before = z.detach().clone()
        optimiser.step()
        with torch.no_grad():
            z.copy_(torch.where(going[:, None], z, before))
    return z.detach()
