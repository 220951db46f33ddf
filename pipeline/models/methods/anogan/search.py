"""AnoGAN's latent search: for each patch, by gradient, the z whose G(z) is most like it.

All patches of a batch are searched at once, each by itself: its result does not depend on the
others. Every search starts from the same z, drawn once from the uniform prior.
"""

from collections.abc import Callable

import torch
from torch import Tensor

RATE = 0.02  # of Adam; the paper gives none
PATIENCE, GAIN = 50, 1e-3  # a search ends after so many steps without this share of gain
START_SEED = 0


def start_code(latent_dim: int) -> Tensor:
    """Where every search starts, (d,) in [-1, 1]."""
    generator = torch.Generator().manual_seed(START_SEED)
    return 2 * torch.rand(latent_dim, generator=generator) - 1


def search(loss_of: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """Codes of low loss, (N, d).

    Args:
        loss_of: codes (N, d) to the loss of each, (N,), by its own code alone.
        start: (N, d) where to begin.
        steps: how many at most; a code stays where it is once its loss gains no more.
    """
    z = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=RATE)
    best = torch.full_like(z[:, 0], torch.inf)
    waited = torch.zeros_like(best)
    for _ in range(steps):
        losses = loss_of(z)
        gained = losses.detach() < best * (1 - GAIN)
        best = torch.where(gained, losses.detach(), best)
        waited = torch.where(gained, 0, waited + 1)
        going = waited < PATIENCE
        if not going.any():
            break
        (z.grad,) = torch.autograd.grad(losses.sum(), z)
        before = z.detach().clone()
        optimiser.step()
        with torch.no_grad():
            z.copy_(torch.where(going[:, None], z, before))
    return z.detach()
